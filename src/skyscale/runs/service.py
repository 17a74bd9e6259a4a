"""What may be asked of runs: create, read, stop, register a policy server, publish a version, report metrics.

- One transaction per call; a repeated call has the effect of one (client-made id, idempotency key, version number).
- A version exists, its leases are consumed and its slots are freed in the same transaction, or none of it happens.
- The newest version only rises, by one; what policy servers do about it is the coordinator's and `swaps`' business.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from math import isfinite
from time import monotonic

from skyscale.auth.principal import Principal
from skyscale.errors import Conflict, NotFound
from skyscale.events.service import EventLog
from skyscale.jobs.places import Places
from skyscale.runs import endings, queries, reaching, resolve, rules
from skyscale.runs.notices import Notice
from skyscale.runs.ports import Buffer, Jobs, Money, Problems
from skyscale.runs.queries import RunRecord
from skyscale.store.engine import AsyncConnection, Database
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.base import new_id, utc_now
from skyscale.wire.jobs import JobRole
from skyscale.wire.policies import PolicyPublish, PolicyRegister, PolicyVersion
from skyscale.wire.runs import EventCreate, RunCreate, RunCreated, RunSpec, RunStatus, TrainingMetrics

SHARED_S = 0.1
MAX_TOLD = 1000


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where a run's policy server is and what it should serve: the part of a heartbeat's reply that runs know."""

    policy_url: str | None
    version: int
    manifest_uri: str | None
    versions_in_use: list[int]


class RunService:
    """The only writer of runs, with the coordinator beside it."""

    def __init__(
        self,
        database: Database,
        events: EventLog,
        jobs: Jobs,
        buffer: Buffer,
        metrics: Metrics,
        *,
        places: Places,
        problems: Problems,
        money: Money,
        check_model: Callable[[RunSpec], Awaitable[None]],
        notices: Callable[[RunSpec], Sequence[Notice]],
        default_loggers: Sequence[str] = (),
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """`check_model` raises Invalid for a run whose base model cannot be had.

        `notices` are what a new run's events say of its surroundings.
        """
        self._db = database
        self._events = events
        self._jobs = jobs
        self._buffer = buffer
        self._metrics = metrics
        self._places = places
        self._problems = problems
        self._money = money
        self._check_model = check_model
        self._notices = notices
        self._default_loggers = default_loggers
        self._clock = clock
        self._told: dict[str, tuple[float, asyncio.Future[Pointer]]] = {}
        self.on_change: Callable[[str], None] = lambda run_id: None
        """Called after a commit that the coordinator should look at without waiting for its next round."""

    async def create(self, request: RunCreate, key: str | None = None) -> RunCreated:
        """The run, new or the one that the same request made before. Raises Invalid or Conflict."""
        spec = resolve.resolve(request, request.run_id or new_id("rl"), self._default_loggers)
        spec = spec.model_copy(update={"provider": self._places.named(spec.provider)})
        resolve.check(spec, self._places.providers)
        self._places.check(spec.provider)
        self._places.check_capacity(spec.provider, spec.capacity, spec.gpu_model)
        self._money.check(spec)
        await self._check_model(spec)
        spec = await self._problems.resolve(spec)
        if request.dry_run:
            estimate = await self._money.estimate(spec)
            return RunCreated(run_id=spec.run_id, status=RunStatus.STARTING, spec=spec, estimate=estimate)
        notices = self._notices(spec)
        digest = hashlib.sha256(request.model_dump_json().encode()).hexdigest()
        now = self._clock()
        row = {
            "run_id": spec.run_id, "request_sha256": digest, "idempotency_key": key,
            "spec": spec.model_dump(mode="json"), "status": RunStatus.STARTING.value, "has_jobs": 0,
            "serving_version": 0, "newest_version": 0, "evaluation_asked": -1, "evaluation_done": -1,
            "created_at": now, "updated_at": now,
        }  # fmt: skip
        async with self._db.write() as connection:
            if not await queries.insert_run(connection, row):
                return await self._earlier(connection, spec.run_id, key, digest)
            await self._problems.hold(connection, spec)
            await self._buffer.open(connection, spec, is_prepared=False)
            await self._money.open(connection, spec, now)
            message = f"run of {spec.base_model} with {spec.num_workers} worker(s) on {spec.provider}"
            await self._record(connection, spec.run_id, "coordinator", "run.created", message)
            for notice in notices:
                await self._events.append(connection, run_id=spec.run_id, **asdict(notice))
            self._db.after_commit(connection, lambda: self.on_change(spec.run_id))
        return RunCreated(run_id=spec.run_id, status=RunStatus.STARTING, spec=spec)

    async def stop(self, run_id: str) -> RunStatus:
        """Ask the run to end; an ended or ending run stays as it is."""
        async with self._db.write() as connection:
            run = await existing(connection, run_id, lock=True)
            if run.status in rules.ENDED or run.status is RunStatus.STOPPING:
                return run.status
            await endings.begin(self._parts, connection, run, RunStatus.STOPPED, "stopped on request", self._clock())
            self._db.after_commit(connection, lambda: self.on_change(run_id))
        return RunStatus.STOPPING

    async def register_policy(self, run_id: str, body: PolicyRegister, caller: Principal) -> None:
        """Note where the run's policy server is; it is used once it says that it is healthy.

        Raises Invalid for a URL that may not be called, Conflict for an ended run or a superseded process, Unavailable
        while its provider does not say at which address the port is reached.
        """
        async with self._db.read() as connection:
            provider, handle = await self._jobs.reached(connection, run_id)
        url = await reaching.address(body.url.rstrip("/"), provider, handle)
        async with self._db.write() as connection:
            run = await existing(connection, run_id, lock=True)
            rules.require_live(run_id, run.status)
            if caller.kind == "job" and run.policy_attempt is not None and (caller.attempt or 0) < run.policy_attempt:
                raise Conflict("a newer policy server has registered", code="superseded", hint="Stop: it replaced you.")
            if (run.policy_url, run.policy_attempt) == (url, caller.attempt):
                return
            values = {
                "policy_url": url, "policy_job_id": caller.job_id, "policy_attempt": caller.attempt,
                "policy_healthy_at": None, "serving_version": 0,
            }  # fmt: skip
            await queries.change(connection, run_id, self._clock(), values)
            await self._record(connection, run_id, "policy", "policy.registered", f"policy server at {url}")
            self._db.after_commit(connection, lambda: self.on_change(run_id))

    async def publish(self, run_id: str, body: PolicyPublish) -> PolicyVersion:
        """Make a version the newest and commit what it consumed; a repeat is answered as the first time.

        Raises Conflict for any other version than newest + 1, an ended run, or a lease that was given to another.
        """
        version = await self._db.write_at_once(lambda connection: self._publish(connection, run_id, body))
        self._metrics.rl_policy_version.labels(run_id).set(body.version)
        return version

    async def _publish(self, connection: AsyncConnection, run_id: str, body: PolicyPublish) -> PolicyVersion:
        run = await existing(connection, run_id, lock=True)
        known = await queries.policy(connection, run_id, body.version)
        if known is not None and known[1] == body.manifest_sha256 and body.version == run.newest_version:
            return known[0]
        rules.require_live(run_id, run.status)
        _require_next(run, body)
        now = self._clock()
        version = PolicyVersion(
            version=body.version, parent=body.parent, manifest_uri=body.manifest_uri, published_at=now
        )
        row = version.model_dump() | {"run_id": run_id, "manifest_sha256": body.manifest_sha256}
        await queries.insert_policy(connection, row)
        await queries.change(connection, run_id, now, {"newest_version": body.version, "reload_version": None})
        await self._buffer.published(connection, run_id, body.version, body.lease_ids)
        await self._finish_at_once(connection, run, body.version, now)
        data: dict[str, object] = {"version": body.version, "leases": len(body.lease_ids)}
        await self._record(connection, run_id, "trainer", "policy.published", f"policy version {body.version}", data)
        self._db.after_commit(connection, lambda: self.on_change(run_id))
        return version

    async def pin(self, run_id: str, version: int | None, uri: str | None) -> RunRecord:
        """Choose which published version is to be served; the next publish takes over again.

        Raises NotFound for a version that was never published, Conflict for the base model, which has no folder.
        """
        async with self._db.write() as connection:
            run = await existing(connection, run_id, lock=True)
            rules.require_live(run_id, run.status)
            if run.finish_reason is not None:
                raise Conflict(f"run {run_id} is finishing and evaluates its newest version", code="run_finishing")
            if uri is not None:
                version = await queries.policy_by_uri(connection, run_id, uri)
                if version is None:
                    raise NotFound(f"run {run_id} has published nothing at that URL", code="version_not_found")
            version = run.newest_version if version is None else version
            if version == 0:
                raise Conflict("version 0 is the base model: it is served until version 1 is published")
            if await queries.policy(connection, run_id, version) is None:
                detail = f"run {run_id} has published no version {version}; the newest is {run.newest_version}"
                raise NotFound(detail, code="version_not_found")
            await queries.change(connection, run_id, self._clock(), {"reload_version": version})
        return run

    async def add_metrics(self, run_id: str, body: TrainingMetrics) -> None:
        """Keep a trainer's report and show it to Prometheus."""
        now = self._clock()
        body = _finite(body)
        point = body.model_dump(exclude={"timestamp"}) | {"run_id": run_id}
        timestamp = body.timestamp if body.timestamp is not None else int(now.timestamp() * 1000)

        async def add(connection: AsyncConnection) -> None:
            await existing(connection, run_id)
            await queries.insert_metrics(connection, point | {"timestamp": timestamp})
            if body.episode_reward is not None:
                await queries.change(connection, run_id, now, {"last_reward": body.episode_reward})

        await self._db.write_at_once(add)
        self._observe(run_id, body)

    async def add_event(self, run_id: str, body: EventCreate) -> None:
        """Record what a process of the run, or a person, has to say."""
        async with self._db.write() as connection:
            await existing(connection, run_id)
            await self._events.append(
                connection, run_id=run_id, component=body.component, kind=body.kind,
                message=body.message, level=body.level, data=body.data,
            )  # fmt: skip

    async def heard(self, run_id: str, job: Principal, serving: int | None) -> Pointer:
        """What a job's heartbeat is answered; a policy server's also tells which version it serves.

        A policy server is told the version that it should serve, everyone else the newest. Workers are many and share
        what one of them was told a moment ago.
        """
        if job.role is not JobRole.WORKER:
            return await self._pointer(run_id, job, serving)
        told = self._told.get(run_id)
        if told is None or monotonic() - told[0] > SHARED_S:
            if len(self._told) >= MAX_TOLD:
                self._told.clear()
            told = self._told[run_id] = monotonic(), asyncio.ensure_future(self._pointer(run_id, job, serving))
        return await asyncio.shield(told[1])

    async def _pointer(self, run_id: str, job: Principal, serving: int | None) -> Pointer:
        async def look(connection: AsyncConnection) -> tuple[RunRecord, int, tuple[PolicyVersion, str] | None]:
            run = await existing(connection, run_id)
            version = run.version_to_serve if job.role is JobRole.POLICY else run.newest_version
            return run, version, await queries.policy(connection, run_id, version)

        run, version, found = await self._db.read_at_once(look)
        is_ours = (job.job_id, job.attempt) == (run.policy_job_id, run.policy_attempt)
        if serving is not None and is_ours and run.policy_url is not None and run.serving_version != serving:
            async with self._db.write() as connection:
                await queries.note_serving(connection, run_id, run.policy_url, serving)
        url = run.policy_url if run.policy_healthy_at is not None else None
        return Pointer(url, version, found[0].manifest_uri if found else None, run.versions_in_use)

    @property
    def _parts(self) -> endings.Parts:
        return endings.Parts(self._jobs, self._buffer, self._events)

    async def _earlier(self, connection: AsyncConnection, run_id: str, key: str | None, digest: str) -> RunCreated:
        earlier = await queries.get(connection, run_id)
        if earlier is None and key is not None:
            earlier = await queries.get_by_key(connection, key)
        if earlier is None or earlier.request_sha256 != digest:
            name = run_id if earlier is None else earlier.run_id
            raise Conflict(f"{name} was created by another request", code="run_exists", hint="Choose another id.")
        return RunCreated(run_id=earlier.run_id, status=earlier.status, spec=earlier.spec)

    async def _finish_at_once(self, connection: AsyncConnection, run: RunRecord, version: int, now: datetime) -> None:
        # In the publishing transaction, so that no step beyond max_steps is ever taken.
        progress = rules.Progress(newest_version=version, rollouts_started_at=None, recent_rewards=[])
        reason = rules.limit_reached(run.spec, progress, now)
        if reason is not None and run.finish_reason is None:
            await endings.begin_finishing(self._parts, connection, run, reason, now)

    async def _record(
        self,
        connection: AsyncConnection,
        run_id: str,
        component: str,
        kind: str,
        message: str,
        data: dict[str, object] | None = None,
    ) -> None:
        await self._events.append(connection, run_id=run_id, component=component, kind=kind, message=message, data=data)

    def _observe(self, run_id: str, body: TrainingMetrics) -> None:
        self._metrics.training_step.labels(run_id).set(body.step)
        if body.loss is not None:
            self._metrics.training_loss.labels(run_id).set(body.loss)
        if body.episode_reward is not None:
            self._metrics.training_episode_reward.labels(run_id).set(body.episode_reward)
        if body.gpu_util is not None:
            self._metrics.training_gpu_util.labels(run_id).set(body.gpu_util)
        self._metrics.reported.trained(run_id, body.metrics)


async def existing(connection: AsyncConnection, run_id: str, *, lock: bool = False) -> RunRecord:
    """The run. Raises NotFound."""
    run = await queries.get(connection, run_id, lock=lock)
    if run is None:
        raise NotFound(f"there is no run {run_id}", code="run_not_found", hint="GET /api/rl/runs lists them.")
    return run


def _require_next(run: RunRecord, body: PolicyPublish) -> None:
    if body.version != run.newest_version + 1 or body.parent != run.newest_version:
        detail = f"version {body.version} of parent {body.parent} does not follow the newest, {run.newest_version}"
        raise Conflict(detail, code="version_conflict", hint="Resume from the newest published version.")
    if run.spec.max_steps is not None and body.version > run.spec.max_steps:
        raise Conflict(f"the run ends at version {run.spec.max_steps}", code="run_finishing")


def _finite(body: TrainingMetrics) -> TrainingMetrics:
    """The report without what is not a number: neither JSON nor a chart can hold it."""
    named = ("episode_reward", "loss", "gpu_util")
    update: dict[str, object] = {name: None for name in named if not isfinite(getattr(body, name) or 0.0)}
    update["metrics"] = {name: value for name, value in body.metrics.items() if isfinite(value)}
    return body.model_copy(update=update)
