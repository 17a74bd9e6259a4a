"""Jobs as the rest of the house sees them: created, released, asked to end, heard from, listed.

- Methods that take a connection are part of their caller's transaction; the others are one transaction each.
- A wish (`set_desired`) never weakens an earlier one: run < finish < stop.
- Only the scheduler changes a job's status; this service changes what is wanted and records what jobs say.
"""

import asyncio
import hashlib
import math
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Literal

from skyscale.errors import BadRequest, Conflict, Gone, NotFound, SkyscaleError
from skyscale.events.service import EventLog
from skyscale.jobs import custom, heartbeats, queries
from skyscale.jobs.heartbeats import Beat
from skyscale.jobs.ledger import told
from skyscale.jobs.places import places_of
from skyscale.jobs.ports import Money
from skyscale.jobs.provider import Provider
from skyscale.jobs.queries import JobFilter, JobRecord, Standing
from skyscale.jobs.rules import Desired, JobBrief
from skyscale.settings import S3Settings, Settings
from skyscale.store.engine import AsyncConnection, Database
from skyscale.store.group_commit import GroupCommit
from skyscale.wire.base import new_id, utc_now
from skyscale.wire.jobs import (
    Heartbeat,
    JobAssignment,
    JobCreated,
    JobDetail,
    JobPage,
    JobRole,
    JobStatus,
    JobView,
    TrainingJobCreate,
)
from skyscale.wire.runs import ProcessHealth, RunSpec

LOG_BYTES = 64 * 1024
MAX_PAGE = 200
LOGS_S = 20.0
"""How long a provider may take to give a job's log."""


class JobService:
    """What may be asked about jobs and of them."""

    def __init__(
        self,
        database: Database,
        events: EventLog,
        *,
        providers: Mapping[str, Provider],
        settings: Settings,
        money: Money | None = None,
        model_path: Callable[[str], str] = str,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """`model_path` turns a run's `base_model` into where the model lies; without `money` nothing is metered."""
        self._db = database
        self._events = events
        self.places = places_of(providers, settings)
        self._providers = providers
        self._settings = settings
        self._money = money
        self._model_path = model_path
        self._clock = clock
        self._beats = GroupCommit(database, heartbeats.write)
        self.changed = asyncio.Event()
        """Set when the scheduler should look at once."""

    async def create_for_run(
        self, connection: AsyncConnection, spec: RunSpec, role: JobRole, index: int, *, held: bool
    ) -> str:
        """The id of a run's job, created if it is new; a held job waits for `release`."""
        job_id = f"job-{role.value}-{spec.run_id.removeprefix('rl-')}-{index}"
        if await queries.get(connection, job_id) is None:
            is_logger = role is JobRole.LOGGER  # it belongs to this host, where its files and credentials are
            place = ("local", "cpu") if is_logger else (spec.provider, spec.gpu_model)
            values = self._new_row(job_id, role, *place, self._settings.max_attempts)
            values |= {"run_id": spec.run_id, "index": index, "held": held, "spec": spec.model_dump(mode="json")}
            values["capacity"] = spec.capacity if role in (JobRole.POLICY, JobRole.TRAINER) else None
            await queries.insert_job(connection, values)
            self._wake_after(connection)
        return job_id

    async def release(self, connection: AsyncConnection, run_id: str, roles: Collection[JobRole]) -> None:
        """Let the run's held jobs of these roles be dispatched."""
        if await queries.release(connection, run_id, roles):
            self._wake_after(connection)

    async def set_desired(
        self, connection: AsyncConnection, run_id: str, desired: Desired, roles: Collection[JobRole] | None = None
    ) -> None:
        """Say what is wanted of the run's live jobs, of all roles or of these."""
        if await queries.set_desired(connection, desired, self._clock(), run_id=run_id, roles=roles):
            self._wake_after(connection)

    async def list_for_run(self, connection: AsyncConnection, run_id: str) -> list[ProcessHealth]:
        """How each process of the run is, policy first."""
        now = self._clock()
        return [_health(job, now) for job in await queries.of_run(connection, run_id)]

    async def views_for_run(self, connection: AsyncConnection, run_id: str) -> list[JobView]:
        """The run's jobs, policy first."""
        return [job.view for job in await queries.of_run(connection, run_id)]

    async def failed_job(self, connection: AsyncConnection, run_id: str) -> JobView | None:
        """A job of the run that is out of attempts and that it cannot do without, if there is one."""
        failed = await queries.failed_of_run(connection, run_id)
        return failed.view if failed is not None else None

    async def brief_for_run(self, connection: AsyncConnection, run_id: str) -> list[JobBrief]:
        """Where the run's jobs stand: all but its workers, and one worker that lives, if any does."""
        return await queries.brief_of_run(connection, run_id)

    async def heartbeat(self, job_id: str, attempt: int, beat: Heartbeat) -> Literal["run", "finish"]:
        """Record a heartbeat; what is wanted of the process. Raises Gone when it must end."""
        values: dict[str, object] = {
            "heartbeat_at": self._clock(),
            "detail": beat.detail,
            "metrics": {name: value for name, value in beat.metrics.items() if math.isfinite(value)},
            "version_": beat.policy_version,
        }
        return _alive_desire(job_id, await self._beats.write(Beat(job_id, attempt, values)), attempt)

    async def create_custom(self, body: TrainingJobCreate) -> JobCreated:
        """A job of its own; the same body with the same id again is the same job.

        Raises Invalid for a provider that is unknown, not ready or cannot run this, Conflict for another body under
        the same id.
        """
        self.check(body)
        job_id, digest = body.job_id or new_id("job"), hashlib.sha256(body.model_dump_json().encode()).hexdigest()
        async with self._db.write() as connection:
            existing = await queries.get(connection, job_id)
            if existing is None:
                values = self._new_row(job_id, JobRole.CUSTOM, body.provider, body.gpu_model, body.max_attempts)
                values |= {"request": body.model_dump(mode="json"), "request_sha256": digest}
                values["capacity"] = body.capacity
                await queries.insert_job(connection, values | {"timeout_s": body.timeout_s})
                if self._money is not None:
                    await self._money.open_job(connection, job_id, body.max_cost_usd, self._clock())
                self._wake_after(connection)
            elif existing.request_sha256 != digest:
                raise Conflict(f"{job_id} exists with another body", code="job_exists", hint="Choose another job_id.")
        status = existing.view.status if existing else JobStatus.QUEUED
        return JobCreated(execution_id=f"exec-{job_id}", job_id=job_id, status=status)

    def check(self, body: TrainingJobCreate) -> None:
        """Raise Invalid for a custom job that could not be made."""
        custom.check(body, self.places)
        if self._money is not None:
            self._money.check_job(body)

    async def cancel(self, job_id: str) -> JobView:
        """Ask a custom job to stop; a job that has ended stays as it is. Raises Conflict for a job of a run."""
        async with self._db.write() as connection:
            job = await _existing(connection, job_id)
            if job.view.run_id is not None:
                hint = f"Stop the run: DELETE /api/rl/runs/{job.view.run_id}."
                raise Conflict(f"{job_id} belongs to {job.view.run_id}", code="job_of_run", hint=hint)
            await queries.set_desired(connection, "stop", self._clock(), job_id=job_id)
            self._wake_after(connection)
            return (await self._with_costs(connection, [job.view]))[0]

    async def stop_for(self, connection: AsyncConnection, job_id: str, why: str) -> None:
        """Have a job of its own end though nobody asked for that; its reason will say why."""
        if await queries.set_desired(connection, "stop", self._clock(), job_id=job_id, why=why):
            self._wake_after(connection)

    async def view(self, job_id: str) -> JobView:
        """A job without its log. Raises NotFound."""
        async with self._db.read() as connection:
            return (await self._with_costs(connection, [(await _existing(connection, job_id)).view]))[0]

    async def detail(self, job_id: str) -> JobDetail:
        """A job with the last 64 KiB of its log."""
        async with self._db.read() as connection:
            job = await _existing(connection, job_id)
            (view,) = await self._with_costs(connection, [job.view])
        return JobDetail(job=view, logs=await self._logs(job))

    async def _with_costs(self, connection: AsyncConnection, views: list[JobView]) -> list[JobView]:
        own = [view.job_id for view in views if view.run_id is None]
        if self._money is None or not own:
            return views
        costs = await self._money.costs_of_jobs(connection, own)
        return [view.model_copy(update={"cost": costs.get(view.job_id)}) for view in views]

    async def _logs(self, job: JobRecord) -> str:
        provider = self._providers.get(job.view.provider)
        if provider is None or job.view.attempt == 0:
            return ""
        try:
            async with asyncio.timeout(LOGS_S):
                return await provider.logs(job.view.job_id, job.handle, LOG_BYTES)
        except (SkyscaleError, TimeoutError) as error:
            return f"[{provider.name} does not give the log: {told(error)}]\n"

    async def reached(self, connection: AsyncConnection, run_id: str) -> tuple[Provider | None, str | None]:
        """Where the run's policy server is: its provider, and the handle of its present attempt."""
        jobs = [job for job in await queries.of_run(connection, run_id) if job.view.role is JobRole.POLICY]
        return (self._providers.get(jobs[0].view.provider), jobs[0].handle) if jobs else (None, None)

    async def assignment(self, job_id: str, *, with_secrets: bool = False) -> JobAssignment:
        """What the job's process must know, and, for nobody else, the keys that it needs.

        Raises Conflict for a custom job, which has no assignment.
        """
        async with self._db.read() as connection:
            job = await _existing(connection, job_id)
        if job.spec is None or job.view.run_id is None:
            raise Conflict(f"{job_id} runs its caller's command and has no assignment", code="no_assignment")
        spec = RunSpec.model_validate(job.spec)
        return JobAssignment(
            job_id=job_id,
            run_id=job.view.run_id,
            role=job.view.role,
            index=job.view.index,
            attempt=job.view.attempt,
            spec=spec,
            model_path=self._model_path(spec.base_model),
            artifact_root=self._settings.artifact_root,
            heartbeat_s=self._settings.heartbeat_s,
            artifact_settings=self._artifact_settings(job.view.role) if with_secrets else {},
        )

    def _artifact_settings(self, role: JobRole) -> dict[str, str]:
        # Over the wire rather than in the process's environment, which providers keep and show.
        needs_store = role in (JobRole.TRAINER, JobRole.POLICY) and self._settings.artifact_root.startswith("s3:")
        return S3Settings().environment() if needs_store else {}

    async def list(self, filters: JobFilter | None = None, cursor: str | None = None, limit: int = 50) -> JobPage:
        """A page of jobs, newest first. Raises BadRequest for a cursor that is not ours."""
        if cursor is not None and not cursor.isdecimal():
            raise BadRequest("this cursor is not one of ours", hint="Use `next_cursor` of the page before.")
        limit = min(limit, MAX_PAGE)
        async with self._db.read() as connection:
            before = int(cursor[:18]) if cursor else None
            rows = await queries.page(connection, filters or JobFilter(), before, limit + 1)
            views = await self._with_costs(connection, [job.view for _, job in rows[:limit]])
        more = str(rows[limit - 1][0]) if len(rows) > limit else None
        return JobPage(jobs=views, next_cursor=more)

    def _new_row(self, job_id: str, role: JobRole, provider: str, gpu: str, max_attempts: int) -> dict[str, object]:
        now, (first, places) = self._clock(), self.places.choose(provider)
        return {
            "job_id": job_id, "role": role.value, "index": 0, "provider": first, "places": places, "gpu_model": gpu,
            "max_attempts": max_attempts, "desired": "run", "held": False, "status": JobStatus.QUEUED.value,
            "due_at": now, "created_at": now, "metrics": {},
        }  # fmt: skip

    def _wake_after(self, connection: AsyncConnection) -> None:
        self._db.after_commit(connection, self.changed.set)


async def _existing(connection: AsyncConnection, job_id: str) -> JobRecord:
    job = await queries.get(connection, job_id)
    if job is None:
        raise _not_found(job_id)
    return job


def _not_found(job_id: str) -> NotFound:
    return NotFound(f"there is no job {job_id}", code="job_not_found", hint="GET /api/training/jobs lists them.")


def _alive_desire(job_id: str, standing: Standing | None, attempt: int) -> Literal["run", "finish"]:
    if standing is None:
        raise _not_found(job_id)
    if standing.attempt != attempt:
        raise Gone(f"attempt {attempt} was given up, this is attempt {standing.attempt}", code="superseded")
    if standing.desired == "stop" or standing.must_end:
        raise Gone(f"{job_id} must end: {standing.reason or standing.status.value}", code="job_ended")
    return standing.desired


def _health(job: JobRecord, now: datetime) -> ProcessHealth:
    view, beat = job.view, job.facts.heartbeat_at
    return ProcessHealth(
        id=view.job_id,
        role=view.role.value,
        index=view.index,
        status=view.status.value,
        detail=(view.detail if view.status is JobStatus.RUNNING else view.reason) or "",
        attempt=view.attempt,
        heartbeat_age_s=max(0.0, (now - beat).total_seconds()) if beat else None,
        metrics=job.metrics,
    )
