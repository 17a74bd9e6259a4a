"""Everything the control plane is made of, built once, in one place, and passed on.

    build(settings)      make every part and join them; nothing runs yet
    running(services)    migrate, start the sandboxes and the reconcilers; at the end of the block stop them again

A clean stop ends the local jobs of all runs; they are queued again and start with the next control plane. After a
crash (kill -9) they go on, and the next control plane adopts them.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec

import httpx

from skyscale.auth.tokens import JobTokens, load_secret
from skyscale.boxes.files import BoxFiles
from skyscale.boxes.service import BoxService
from skyscale.buffer.service import BufferService
from skyscale.envs.environments import Environments
from skyscale.envs.judge import Judge
from skyscale.envs.registry import load_problem_set
from skyscale.episodes.judging import Judging
from skyscale.episodes.missions import MissionService
from skyscale.episodes.service import EpisodeService
from skyscale.episodes.sessions import Sessions
from skyscale.episodes.troubles import Troubles
from skyscale.episodes.turns import TurnService
from skyscale.errors import Invalid, NotFound
from skyscale.events.service import EventLog
from skyscale.jobs.dispatch import COMMANDS
from skyscale.jobs.loading import load_providers
from skyscale.jobs.scheduler import Scheduler
from skyscale.jobs.service import JobService
from skyscale.rollouts.notes import VerdictNotes
from skyscale.rollouts.rules import Retention
from skyscale.rollouts.service import RolloutService
from skyscale.rollouts.sweeper import Sweeper
from skyscale.runs.base_models import require_model
from skyscale.runs.cards import Cards
from skyscale.runs.coordinator import Coordinator, World
from skyscale.runs.endings import Parts
from skyscale.runs.service import RunService
from skyscale.runs.swaps import Swaps
from skyscale.runs.views import RunViews
from skyscale.sandboxes.loading import WORKSPACES, load_backend, load_workspaces
from skyscale.settings import Settings
from skyscale.store.engine import Database
from skyscale.store.migrate import upgrade
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.base import utc_now
from skyscale.wire.jobs import JobRole
from skyscale.wire.runs import RunSpec


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
    events: EventLog
    buffer: BufferService
    judge: Judge
    episodes: EpisodeService
    turns: TurnService
    missions: MissionService
    notes: VerdictNotes
    rollouts: RolloutService
    sweeper: Sweeper
    boxes: BoxService
    files: BoxFiles
    jobs: JobService
    scheduler: Scheduler
    runs: RunService
    views: RunViews
    swaps: Swaps
    coordinator: Coordinator
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
    tokens, events = JobTokens(load_secret(settings.data_dir / "secrets")), EventLog(database)
    buffer = BufferService(database, events)
    backend = load_backend(slots=settings.sandbox_slots)
    judge = Judge(backend, concurrency=settings.sandbox_slots)
    judging = Judging(judge, settings.verdict_cache_entries)
    notes = VerdictNotes(database)
    episodes = EpisodeService(database, buffer, judging, settings.ticket_ttl_s, notes.note)
    origins = [origin.strip() for origin in settings.environment_origins.split(",") if origin.strip()]
    environments = Environments(backend, concurrency=settings.sandbox_slots, origins=origins)
    sessions, troubles = Sessions(settings.environment_sessions), Troubles(database, events, time.monotonic)
    turns = TurnService(buffer, judging, environments, sessions, troubles, note_verdicts=notes.note)

    async def check_parts(spec: RunSpec) -> None:
        await require_model(spec, http)
        await turns.check(spec)

    providers = load_providers(settings.data_dir, tokens.owner)
    jobs = JobService(database, events, providers=providers, settings=settings)
    scheduler = Scheduler(
        database, events, service=jobs, tokens=tokens, metrics=metrics, providers=providers, settings=settings,
        url=lambda: address.url, commands=commands,
    )  # fmt: skip
    runs = RunService(
        database,
        events,
        jobs,
        buffer,
        metrics,
        providers=set(providers),
        check_problems=check_extras,
        check_model=check_parts,
        default_loggers=settings.loggers.split(",") if settings.loggers else (),
    )
    swaps = Swaps(database, events, http, utc_now, tokens)
    cards = Cards(database, episodes.evaluations, settings.artifact_root)
    world = World(
        database, Parts(jobs, buffer, events), episodes.evaluations, cards, swaps, http, metrics, utc_now, turns.fatal
    )
    coordinator = Coordinator(world, settings.reconcile_s)
    runs.on_change = coordinator.wake
    boxes = BoxService(
        database, {name: load_workspaces(name, label=_label(settings)) for name in WORKSPACES},
        max_open=settings.sandbox_max_open, max_total=settings.sandbox_max_total,
    )  # fmt: skip
    return Services(
        settings=settings, address=address, database=database, metrics=metrics, tokens=tokens, events=events,
        buffer=buffer, judge=judge, episodes=episodes, turns=turns, missions=MissionService(database, buffer, judging),
        notes=notes, rollouts=RolloutService(database, notes, settings.artifact_root),
        sweeper=Sweeper(database, Retention(settings.rollouts_keep, settings.rollouts_sample_every)),
        boxes=boxes, files=BoxFiles(boxes),
        jobs=jobs, scheduler=scheduler, runs=runs, swaps=swaps, coordinator=coordinator, http=http,
        views=RunViews(database, events, jobs, buffer, episodes.evaluations, settings),
    )  # fmt: skip


@asynccontextmanager
async def running(parts: Services) -> AsyncGenerator[None]:
    """Bring the database up to date, start everything, and stop it all, local jobs included, after the block."""
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(parts.database.close)
        stack.push_async_callback(parts.http.aclose)
        await upgrade(parts.database)
        stack.push_async_callback(parts.judge.stop)
        await parts.judge.start()
        stack.push_async_callback(parts.turns.stop)
        stack.push_async_callback(parts.boxes.stop)
        await parts.boxes.start()
        stack.push_async_callback(parts.notes.stop)
        await parts.notes.start()
        stack.push_async_callback(parts.sweeper.stop)
        await parts.sweeper.start()
        stack.push_async_callback(parts.swaps.close)
        stack.push_async_callback(parts.scheduler.shutdown)
        await parts.scheduler.start()
        loop = asyncio.create_task(parts.coordinator.run(), name="coordinator")
        stack.push_async_callback(_end, loop)
        stack.callback(parts.closing.set)
        yield


def _label(settings: Settings) -> str:
    """Marks processes of whoever keeps its data in this folder."""
    return hashlib.sha256(str(settings.data_dir.resolve()).encode()).hexdigest()[:16]


def check_extras(spec: RunSpec) -> None:
    """Raise Invalid for a run with a logger that is not installed, or without problems to play."""
    for name in spec.loggers:
        if find_spec(name) is None:
            raise Invalid(
                f"loggers: {name} is not installed where the control plane runs",
                code="extra_missing",
                hint=f"pip install 'skyscale[{name}]'",
            )
    check_problems(spec)


def check_problems(spec: RunSpec) -> None:
    """Raise Invalid for a run whose problem set is missing, has nothing to train on or nothing to be evaluated with."""
    try:
        problems = load_problem_set(spec.problem_set)
    except (NotFound, OSError, UnicodeError) as error:
        detail = f"problem_set: {spec.problem_set!r} is neither 'embedded' nor a readable JSONL file"
        raise Invalid(detail, code="problem_set_not_found") from error
    if spec.mode != "evaluate" and not problems.train(spec.difficulty):
        raise Invalid(f"problem_set: {spec.problem_set!r} has no train problems of difficulty {spec.difficulty}")
    if spec.evaluation.num_problems > 0 and not problems.heldout():
        raise Invalid(f"problem_set: {spec.problem_set!r} has no held-out problems: set evaluation.num_problems to 0")


def _http() -> httpx.AsyncClient:
    # No proxies from the environment: policy servers are dialled directly.
    return httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=10.0)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
