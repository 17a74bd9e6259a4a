"""All SQL of jobs.

Claims are one guarded UPDATE on both databases: of several schedulers that saw the same row, the one whose UPDATE still
finds it as it was seen has the job. `apply` changes a row only while its lock token is still ours.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, RowMapping, Select, bindparam, case, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.jobs.rules import LIVE, Desired, JobBrief, JobFacts
from skyscale.store.engine import Database
from skyscale.store.prepared import Prepared, Values
from skyscale.store.tables.jobs import jobs
from skyscale.wire.jobs import JobRole, JobStatus, JobView

WEAKER: dict[str, tuple[str, ...]] = {"run": (), "finish": ("run",), "stop": ("run", "finish")}
"""What may be overwritten by a wish."""

BRIEF = [column for column in jobs.c if column.name != "spec"]
"""What is read several times a second leaves out the one large document."""
_BRIEF_NAMES = [column.name for column in BRIEF]


_IS_LIVE = jobs.c.status.in_([status.value for status in LIVE])
PAGE = 100
"""Jobs that are read at once by whoever reads all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A row, read."""

    facts: JobFacts
    view: JobView
    handle: str | None
    places: Sequence[str]
    """Providers it may run on, in order; empty when its caller named one."""
    capacity: str | None
    """`on_demand` or `preemptible`; None is whatever the provider gives."""
    lock_token: str | None
    spec: dict[str, Any] | None
    """Only from `get`."""
    request: dict[str, Any] | None
    request_sha256: str | None
    policy_version: int | None
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to list."""

    run_id: str | None = None
    role: JobRole | None = None
    status: JobStatus | None = None
    provider: str | None = None


async def insert_job(connection: AsyncConnection, values: Mapping[str, object]) -> None:
    """Write a new row."""
    await connection.execute(insert(jobs).values(**values))


async def get(connection: AsyncConnection, job_id: str) -> JobRecord | None:
    """One job."""
    return next(iter(await _read(connection, select(jobs).where(jobs.c.job_id == job_id))), None)


_LIVE = Prepared(select(*BRIEF).where(_IS_LIVE, jobs.c.seq > bindparam("last")).order_by(jobs.c.seq).limit(PAGE))


async def live(database: Database) -> list[JobRecord]:
    """Jobs that are not in a final state, oldest first: what the scheduler looks at.

    Read page by page, so that a thousand of them never hold up the loop for as long as reading them takes.
    """
    last, found = 0, list[JobRecord]()
    while True:
        at: Values = {"last": last}
        rows = await database.read_at_once(lambda connection, at=at: _LIVE.all(connection, at))
        records = [dict(zip(_BRIEF_NAMES, row, strict=True)) for row in rows]
        found += [_record(record) for record in records]
        if len(records) < PAGE:
            return found
        last = records[-1]["seq"]


async def of_run(connection: AsyncConnection, run_id: str) -> list[JobRecord]:
    """All jobs of a run in the order policy, trainer, workers by index."""
    order = case((jobs.c.role == "policy", 0), (jobs.c.role == "trainer", 1), else_=2)
    return await _read(connection, select(*BRIEF).where(jobs.c.run_id == run_id).order_by(order, jobs.c.index))


async def page(
    connection: AsyncConnection, filters: JobFilter, before_seq: int | None, limit: int
) -> list[tuple[int, JobRecord]]:
    """Jobs with their sequence numbers, newest first."""
    statement = select(*BRIEF).order_by(jobs.c.seq.desc()).limit(limit)
    if filters.run_id is not None:
        statement = statement.where(jobs.c.run_id == filters.run_id)
    if filters.role is not None:
        statement = statement.where(jobs.c.role == filters.role.value)
    if filters.status is not None:
        statement = statement.where(jobs.c.status == filters.status.value)
    if filters.provider is not None:
        statement = statement.where(jobs.c.provider == filters.provider)
    if before_seq is not None:
        statement = statement.where(jobs.c.seq < before_seq)
    rows = (await connection.execute(statement)).mappings().all()
    return [(row["seq"], _record(row)) for row in rows]


async def release(connection: AsyncConnection, run_id: str, roles: Collection[JobRole]) -> int:
    """Let held jobs of a run be dispatched; how many were held.

    Those that may run in several places begin where the run's policy server is: weights travel least.
    """
    policy = select(jobs.c.provider).where(jobs.c.run_id == run_id, jobs.c.role == "policy").limit(1)
    place = (jobs.c.run_id == run_id, jobs.c.places.is_not(None), jobs.c.attempt == 0, jobs.c.held.is_(True))
    home = (await connection.execute(policy)).scalar_one_or_none()
    if home is not None:
        await connection.execute(update(jobs).where(*place).values(provider=home))
    where = (jobs.c.run_id == run_id, jobs.c.role.in_([role.value for role in roles]), jobs.c.held.is_(True))
    return (await connection.execute(update(jobs).where(*where).values(held=False))).rowcount


async def set_desired(
    connection: AsyncConnection,
    desired: Desired,
    now: datetime,
    *,
    run_id: str | None = None,
    job_id: str | None = None,
    roles: Collection[JobRole] | None = None,
    why: str | None = None,
) -> int:
    """Record a wish for the live jobs of a run, or for one job; it never weakens an earlier one.

    `why` is said of jobs that are to stop though nobody asked for that.
    """
    statement = update(jobs).where(
        jobs.c.desired.in_(WEAKER[desired]), jobs.c.status.in_([status.value for status in LIVE])
    )
    statement = statement.where(jobs.c.run_id == run_id if job_id is None else jobs.c.job_id == job_id)
    if roles is not None:
        statement = statement.where(jobs.c.role.in_([role.value for role in roles]))
    values: dict[str, object] = {"desired": desired}
    if desired == "finish":
        values["finish_asked_at"] = now
    if why is not None:
        values["stop_reason"] = why
    return (await connection.execute(statement.values(values))).rowcount


_OF_RUN = jobs.c.run_id == bindparam("run")
_STANDING = select(jobs.c.job_id, jobs.c.role, jobs.c.status, jobs.c.attempt).where(_OF_RUN)
_OTHERS = Prepared(_STANDING.where(jobs.c.role != JobRole.WORKER.value))
_A_WORKER = Prepared(_STANDING.where(jobs.c.role == JobRole.WORKER.value, _IS_LIVE).limit(1))
_FAILED = Prepared(
    select(jobs.c.job_id)
    .where(_OF_RUN, jobs.c.status == JobStatus.FAILED.value, jobs.c.role != JobRole.LOGGER.value)
    .order_by(jobs.c.seq)
    .limit(1)
)


async def brief_of_run(connection: AsyncConnection, run_id: str) -> list[JobBrief]:
    """Where the run's jobs stand: all but its workers, and of those one that lives, if any does."""
    rows = [*await _OTHERS.all(connection, {"run": run_id}), *await _A_WORKER.all(connection, {"run": run_id})]
    return [JobBrief(*row) for row in rows]


async def failed_of_run(connection: AsyncConnection, run_id: str) -> JobRecord | None:
    """A job that is out of attempts and that the run cannot do without."""
    row = await _FAILED.first(connection, {"run": run_id})
    return await get(connection, row[0]) if row is not None else None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a heartbeat's answer depends on."""

    attempt: int
    desired: Desired
    status: JobStatus
    reason: str | None

    @property
    def must_end(self) -> bool:
        """Whether nothing more is wanted of it."""
        return self.desired == "stop" or self.status not in (JobStatus.STARTING, JobStatus.RUNNING)


_STANDINGS = Prepared(
    select(jobs.c.job_id, jobs.c.attempt, jobs.c.desired, jobs.c.status, jobs.c.reason).where(
        jobs.c.job_id.in_(bindparam("ids", expanding=True))
    )
)


def standings(connection: Connection, job_ids: Collection[str]) -> dict[str, Standing]:
    """Where these jobs stand, those that exist."""
    rows = _STANDINGS.all_now(connection, {"ids": sorted(set(job_ids))})
    return {
        job_id: Standing(attempt, desired, JobStatus(status), reason)
        for job_id, attempt, desired, status, reason in rows
    }


_BEAT = Prepared(
    update(jobs)
    .where(jobs.c.job_id == bindparam("id_"))
    .values(
        heartbeat_at=bindparam("heartbeat_at"), detail=bindparam("detail"), metrics=bindparam("metrics"),
        policy_version=func.coalesce(bindparam("version_", type_=jobs.c.policy_version.type), jobs.c.policy_version),
    )
)  # fmt: skip


def note_beats(connection: Connection, rows: list[dict[str, object]]) -> None:
    """Keep what live attempts said of themselves (`id_` and the columns of `_BEAT`)."""
    _BEAT.change_now(connection, list[Values](rows))


async def claim(connection: AsyncConnection, seen: JobRecord, now: datetime, values: Mapping[str, object]) -> bool:
    """Take a job that is still as it was seen and that nobody else acts on; `values` hold the new lock."""
    statement = update(jobs).where(
        jobs.c.job_id == seen.view.job_id,
        jobs.c.status == seen.facts.status.value,
        jobs.c.attempt == seen.facts.attempt,
        jobs.c.desired == seen.facts.desired,
        or_(jobs.c.lock_token.is_(None), jobs.c.lock_expires_at <= now),
    )
    return (await connection.execute(statement.values(dict(values)))).rowcount == 1


async def apply(connection: AsyncConnection, job_id: str, lock_token: str, values: Mapping[str, object]) -> bool:
    """Write the result of an action and let go of the job; False when it was taken from us meanwhile."""
    statement = update(jobs).where(jobs.c.job_id == job_id, jobs.c.lock_token == lock_token)
    return (await connection.execute(statement.values(_UNLOCKED | dict(values)))).rowcount == 1


async def break_locks(connection: AsyncConnection) -> None:
    """Forget all claims: for the start of the only scheduler there is, whose predecessor is dead."""
    await connection.execute(update(jobs).where(jobs.c.lock_token.is_not(None)).values(_UNLOCKED))


_UNLOCKED: dict[str, object] = {"lock_token": None, "lock_expires_at": None}


async def _read(connection: AsyncConnection, statement: Select[Any]) -> list[JobRecord]:
    rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return [_record(row) for row in rows]


def _record(row: Mapping[Any, Any]) -> JobRecord:
    shared = {name: row[name] for name in ("attempt", "started_at")}
    role, status = JobRole(row["role"]), JobStatus(row["status"])
    names = ("desired", "held", "due_at", "failures", "crashes", "max_attempts", "timeout_s", "heartbeat_at")
    facts = {name: row[name] for name in (*names, "asked_at", "finish_asked_at", "stop_reason", "lock_expires_at")}
    names = ("job_id", "run_id", "index", "reason", "provider", "gpu_model", "detail", "created_at", "ended_at")
    view = {name: row[name] for name in (*names, "exit_code")}
    return JobRecord(
        facts=JobFacts(role=role, status=status, has_handle=row["handle"] is not None, **shared, **facts),
        view=JobView(execution_id=f"exec-{row['job_id']}", role=role, status=status, **shared, **view),
        handle=row["handle"],
        places=row["places"] or [],
        capacity=row["capacity"],
        lock_token=row["lock_token"],
        spec=row["spec"] if "spec" in row else None,  # noqa: SIM401 - `get` of a row raises and catches
        request=row["request"],
        request_sha256=row["request_sha256"],
        policy_version=row["policy_version"],
        metrics=cast(dict[str, float], row["metrics"]),
    )
