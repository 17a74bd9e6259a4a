"""Everything the control plane is made of, built once, in one place, and passed on.

    build(settings)      make every part and join them; nothing runs yet
    running(services)    migrate, start the sandboxes and the reconcilers; at the end of the block stop them again

A clean stop of the last control plane ends the local jobs of all runs; they are queued again and start with the next
one. After a crash (kill -9), or while another control plane lives, they go on and are adopted.
"""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec

import httpx

from skyscale.api import function_parts, money_parts
from skyscale.api.function_parts import FunctionParts
from skyscale.api.money_parts import Meters
from skyscale.api.notices import Notices
from skyscale.api.reconcilers import Reconcilers
from skyscale.artifacts.store import open_store, require_store
from skyscale.auth.service import KeyService
from skyscale.auth.tokens import JobTokens, load_secret
from skyscale.boxes.files import BoxFiles
from skyscale.boxes.service import BoxService
from skyscale.buffer.service import BufferService
from skyscale.envs.environments import Environments
from skyscale.envs.judge import Judge
from skyscale.episodes.judging import Judging
from skyscale.episodes.missions import MissionService
from skyscale.episodes.service import EpisodeService
from skyscale.episodes.sessions import Sessions
from skyscale.episodes.troubles import Troubles
from skyscale.episodes.turns import TurnService
from skyscale.errors import Invalid
from skyscale.events.service import EventLog
from skyscale.hosts.judging import SpreadJudge
from skyscale.hosts.places import HostPlaces
from skyscale.hosts.service import HostService
from skyscale.jobs.dispatch import COMMANDS
from skyscale.jobs.inventory import Inventory
from skyscale.jobs.loading import load_providers
from skyscale.jobs.outputs import JobOutputs
from skyscale.jobs.scheduler import Scheduler
from skyscale.jobs.service import JobService
from skyscale.money.service import MoneyService
from skyscale.problems.service import Bounds, ProblemSetService
from skyscale.rollouts.notes import VerdictNotes
from skyscale.rollouts.rules import Retention
from skyscale.rollouts.service import RolloutService
from skyscale.rollouts.sweeper import Sweeper
from skyscale.runs.base_models import require_model
from skyscale.runs.cards import Cards
from skyscale.runs.checkpoints import Checkpoints
from skyscale.runs.coordinator import Coordinator, World
from skyscale.runs.endings import Parts
from skyscale.runs.service import RunService
from skyscale.runs.swaps import Swaps
from skyscale.runs.views import RunViews
from skyscale.sandboxes.layers import missing_needed
from skyscale.sandboxes.loading import WORKSPACES, load_backend, load_workspaces
from skyscale.sandboxes.sandbox import SandboxBackend
from skyscale.services.service import ContainerServices
from skyscale.settings import RailwaySettings, Settings
from skyscale.store.engine import Database
from skyscale.store.leadership import Leadership
from skyscale.store.migrate import upgrade
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.base import utc_now
from skyscale.wire.jobs import JobRole
from skyscale.wire.runs import RunSpec

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Address:
    """Where this control plane is reached by its jobs; known when the port is bound."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts, by the noun they own."""

    settings: Settings
    address: Address
    database: Database
    metrics: Metrics
    tokens: JobTokens
    keys: KeyService
    events: EventLog
    buffer: BufferService
    judge: Judge
    episodes: EpisodeService
    turns: TurnService
    missions: MissionService
    problem_sets: ProblemSetService
    hosts: HostService
    notes: VerdictNotes
    rollouts: RolloutService
    boxes: BoxService
    files: BoxFiles
    containers: ContainerServices
    functions: FunctionParts
    jobs: JobService
    outputs: JobOutputs
    inventory: Inventory
    money: MoneyService
    meters: Meters
    runs: RunService
    views: RunViews
    checkpoints: Checkpoints
    swaps: Swaps
    reconcilers: Reconcilers
    http: httpx.AsyncClient
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server begins to stop: whoever holds a call open lets go."""


def build(settings: Settings, commands: Mapping[JobRole, Sequence[str]] = COMMANDS) -> Services:
    """Make every part and join them; nothing is read but the signing secret, and nothing is started.

    `commands` is how the process of each role is started.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database, metrics, http = Database(settings.sqlalchemy_url), Metrics(), _http()
    address = Address(f"http://{settings.host}:{settings.port}")
    tokens, events = JobTokens(_secret(settings)), EventLog(database)
    buffer = BufferService(database, events)
    hosts = HostService(database, token=settings.host_token.get_secret_value() if settings.host_token else None)
    backend = load_backend(slots=settings.sandbox_slots, allow_weak=settings.may_lack_layers)
    judge = Judge(backend, concurrency=settings.sandbox_slots)
    accounts = money_parts.build(settings, database, events, metrics, _label(settings))
    money = accounts.service
    judging = Judging(SpreadJudge(hosts, judge), settings.verdict_cache_entries, metrics, accounts.runs.sandboxes.add)
    leadership = Leadership(database, url=lambda: settings.replica_url or address.url)
    problem_sets = _problem_sets(database, judge, settings, leadership.name)
    library = problem_sets.library
    notes = VerdictNotes(database)
    episodes = EpisodeService(database, buffer, judging, settings.ticket_ttl_s, library, events, metrics, notes.note)
    troubles = Troubles(database, events, time.monotonic, buffer.give_up)
    places = _environments(backend, settings), Sessions(settings.environment_sessions)
    turns = TurnService(buffer, judging, *places, troubles, library, notes.note)
    providers = load_providers(settings.data_dir, tokens.owner)
    jobs = JobService(database, events, providers=providers, settings=settings, money=money)
    containers = ContainerServices(RailwaySettings(), http, _label(settings), accounts.services)
    scheduler = Scheduler(
        leadership.fenced(), events, service=jobs, tokens=tokens, metrics=metrics, providers=providers,
        settings=settings, url=lambda: settings.job_url or address.url, commands=commands,
    )  # fmt: skip
    runs = RunService(
        database, events, jobs, buffer, metrics,
        places=jobs.places, problems=problem_sets, money=money, check_model=_check_of(http, turns),
        default_loggers=settings.loggers.split(",") if settings.loggers else (),
        notices=Notices(judge, hosts, library).of,
    )  # fmt: skip
    swaps = Swaps(database, events, http, utc_now, tokens)
    cards = Cards(database, episodes.evaluations, settings.artifact_root)
    world = World(
        leadership.fenced(), Parts(jobs, buffer, events), episodes.evaluations, cards, swaps, money, http,
        metrics, utc_now, turns.fatal,
    )  # fmt: skip
    coordinator = Coordinator(world, settings.reconcile_s)
    runs.on_change = coordinator.wake
    _watch(metrics, buffer, judge, boxes := _boxes(settings, database, hosts, leadership))
    return Services(
        settings=settings, address=address, database=database, metrics=metrics, tokens=tokens, events=events,
        buffer=buffer, judge=judge, episodes=episodes, turns=turns,
        missions=MissionService(database, buffer, judging, library),
        notes=notes, rollouts=RolloutService(database, notes, settings.artifact_root, library),
        problem_sets=problem_sets, hosts=hosts, boxes=boxes, files=BoxFiles(boxes), keys=KeyService(database),
        functions=function_parts.build(settings, database, metrics, jobs, address, _label(settings)),
        jobs=jobs, outputs=JobOutputs(database, open_store(settings.artifact_root)),
        inventory=Inventory(jobs.places), meters=money_parts.join(accounts, database, metrics, jobs, containers),
        runs=runs, swaps=swaps, http=http, containers=containers, money=money,
        reconcilers=Reconcilers(leadership, scheduler, coordinator, swaps, _sweeper(leadership, settings)),
        checkpoints=Checkpoints(database, episodes.evaluations, settings.artifact_root),
        views=RunViews(database, events, jobs, buffer, episodes.evaluations, episodes.curricula, money, settings),
    )  # fmt: skip


@asynccontextmanager
async def running(parts: Services) -> AsyncGenerator[None]:
    """Bring the database up to date, start everything, and stop it all, local jobs included, after the block."""
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(parts.database.close)
        stack.push_async_callback(parts.http.aclose)
        await upgrade(parts.database)
        await asyncio.to_thread(require_store, parts.settings.artifact_root)
        await parts.problem_sets.start()
        stack.push_async_callback(parts.judge.stop)
        await parts.judge.start()
        _warn_of_layers(parts.judge)
        stack.push_async_callback(parts.hosts.stop)
        await parts.hosts.start()
        stack.push_async_callback(parts.turns.stop)
        stack.push_async_callback(parts.boxes.stop)
        await parts.boxes.start()
        stack.push_async_callback(parts.functions.calls.stop)
        await parts.functions.calls.start()
        stack.push_async_callback(parts.notes.stop)
        await parts.notes.start()
        stack.push_async_callback(parts.meters.stop)
        await parts.meters.start()
        stack.push_async_callback(parts.reconcilers.shutdown)
        await parts.reconcilers.start()
        stack.callback(parts.closing.set)
        yield


def _secret(settings: Settings) -> bytes:
    if settings.secret is not None:
        return hashlib.sha256(settings.secret.get_secret_value().encode()).digest()
    return load_secret(settings.data_dir / "secrets")


def _warn_of_layers(judge: Judge) -> None:
    if lacking := missing_needed(judge.report()):
        log.warning(
            "code runs here without isolation that unknown code needs: %s; `skyscale doctor` says what to do, "
            "SKYSCALE_SANDBOX_MISSING_LAYERS=refuse does not start like this", ", ".join(lacking),
        )  # fmt: skip


def _sweeper(leadership: Leadership, settings: Settings) -> Sweeper:
    return Sweeper(leadership.fenced(), Retention(settings.rollouts_keep, settings.rollouts_sample_every))


def _boxes(settings: Settings, database: Database, hosts: HostService, leadership: Leadership) -> BoxService:
    return BoxService(
        database, {name: load_workspaces(name, label=_label(settings)) for name in WORKSPACES},
        HostPlaces(hosts), max_open=settings.sandbox_max_open, max_total=settings.sandbox_max_total,
        name=leadership.name,
    )  # fmt: skip


def _watch(metrics: Metrics, buffer: BufferService, judge: Judge, boxes: BoxService) -> None:
    """Join what is read at each scrape, and what is told."""
    metrics.sandbox_pool_size.set_function(lambda: judge.num_ready)
    metrics.sandbox_interactive_open.set_function(lambda: boxes.num_open)
    buffer.handed_out = lambda run_id, count: metrics.rl_trajectories_sampled.labels(run_id).inc(count)


def _label(settings: Settings) -> str:
    """Marks processes of whoever keeps its data in this folder."""
    return hashlib.sha256(str(settings.data_dir.resolve()).encode()).hexdigest()[:16]


def _check_of(http: httpx.AsyncClient, turns: TurnService) -> Callable[[RunSpec], Awaitable[None]]:
    async def check_parts(spec: RunSpec) -> None:
        check_extras(spec)
        await require_model(spec, http)
        await turns.check(spec)

    return check_parts


def check_extras(spec: RunSpec) -> None:
    """Raise Invalid for a run with a logger that is not installed."""
    for name in spec.loggers:
        if find_spec(name) is None:
            raise Invalid(
                f"loggers: {name} is not installed where the control plane runs",
                code="extra_missing",
                hint=f"pip install 'skyscale[{name}]'",
            )


def _environments(backend: SandboxBackend, settings: Settings) -> Environments:
    origins = [origin.strip() for origin in settings.environment_origins.split(",") if origin.strip()]
    return Environments(backend, concurrency=settings.sandbox_slots, origins=origins)


def _problem_sets(database: Database, judge: Judge, settings: Settings, name: str) -> ProblemSetService:
    store = open_store(settings.artifact_root)
    return ProblemSetService(database, store, judge, settings.data_dir / "problem-uploads" / name, _bounds(settings))


def _bounds(settings: Settings) -> Bounds:
    """Half of the sandboxes are always left to runs, unless there is only one."""
    return Bounds(
        max_bytes=settings.problem_set_max_bytes,
        max_total_bytes=settings.problem_sets_max_bytes,
        solutions_at_once=max(1, settings.sandbox_slots // 2),
    )


def _http() -> httpx.AsyncClient:
    # No proxies from the environment: policy servers are dialled directly.
    return httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=10.0)
