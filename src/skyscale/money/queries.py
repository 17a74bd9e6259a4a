"""All SQL of costs; runs and jobs are read here as rows, and never written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.store.tables.costs import run_costs
from skyscale.store.tables.jobs import jobs
from skyscale.store.tables.runs import runs
from skyscale.wire.costs import SpendingLine
from skyscale.wire.jobs import JobRole
from skyscale.wire.runs import RunSpec, RunStatus

ENDED = (RunStatus.STOPPED.value, RunStatus.COMPLETED.value, RunStatus.FAILED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRecord:
    """A row of `run_costs`, typed."""

    run_id: str
    gpu_s: float
    cpu_s: float
    sandbox_s: float
    tokens: int
    usd: float
    usd_per_hour: float
    max_cost_usd: float | None
    unpriced: list[str]
    counters: dict[str, list[int]]
    told_percent: int
    version: int
    active_at: datetime
    metered_at: datetime
    is_closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpan:
    """What the meter needs to know of a job."""

    job_id: str
    run_id: str | None
    role: JobRole
    provider: str
    gpu_model: str
    status: str
    attempt: int
    tokens: int
    """Sampled so far by its present attempt, as it last said."""
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A run whose meter runs."""

    cost: CostRecord
    version: int
    has_ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """How long an earlier run took."""

    startup_s: float
    step_s: float


_COLUMNS = [run_costs.c[field.name] for field in fields(CostRecord)]


async def open_meter(connection: AsyncConnection, run_id: str, cap: float | None, now: datetime) -> None:
    """Begin a run's costs at nothing."""
    values: dict[str, object] = {
        "run_id": run_id, "gpu_s": 0.0, "cpu_s": 0.0, "sandbox_s": 0.0, "tokens": 0, "usd": 0.0, "usd_per_hour": 0.0,
        "max_cost_usd": cap,
        "unpriced": [], "counters": {}, "told_percent": 0, "version": 0, "active_at": now, "metered_at": now,
    }  # fmt: skip
    await connection.execute(insert(run_costs).values(**values))


async def get(connection: AsyncConnection, run_id: str) -> CostRecord | None:
    """What a run has cost; None for one that is older than this meter."""
    row = (await connection.execute(select(*_COLUMNS).where(run_costs.c.run_id == run_id))).mappings().first()
    return CostRecord(**row) if row is not None else None


async def costs_of(connection: AsyncConnection, run_ids: Sequence[str]) -> dict[str, float]:
    """Dollars of each of these runs that has a meter."""
    statement = select(run_costs.c.run_id, run_costs.c.usd).where(run_costs.c.run_id.in_(run_ids))
    return {row["run_id"]: row["usd"] for row in (await connection.execute(statement)).mappings()}


async def opened(connection: AsyncConnection, *, lock: bool = False) -> list[Open]:
    """Every run whose meter runs; with `lock`, nobody else moves them until the transaction ends."""
    statement = (
        select(*_COLUMNS, runs.c.newest_version, runs.c.status)
        .join(runs, runs.c.run_id == run_costs.c.run_id)
        .where(run_costs.c.is_closed.is_(False))
        .order_by(run_costs.c.run_id)
    )
    found: list[Open] = []
    for row in (await connection.execute(statement.with_for_update(of=run_costs) if lock else statement)).mappings():
        values: dict[str, Any] = dict(row)
        version, status = values.pop("newest_version"), values.pop("status")
        found.append(Open(cost=CostRecord(**values), version=version, has_ended=status in ENDED))
    return found


async def spans(connection: AsyncConnection, run_ids: Sequence[str]) -> dict[str, list[JobSpan]]:
    """The jobs of these runs."""
    names = ("job_id", "run_id", "role", "provider", "gpu_model", "status", "attempt", "started_at", "ended_at")
    columns = [jobs.c[name] for name in (*names, "metrics")]
    found: dict[str, list[JobSpan]] = {run_id: [] for run_id in run_ids}
    for row in (await connection.execute(select(*columns).where(jobs.c.run_id.in_(run_ids)))).mappings():
        values: dict[str, Any] = dict(row)
        told = values.pop("metrics").get("generated_tokens", 0)
        values |= {"role": JobRole(values["role"]), "tokens": max(0, int(told))}
        found[values["run_id"]].append(JobSpan(**values))
    return found


async def spent(connection: AsyncConnection) -> SpendingLine:
    """All runs together."""
    names = ("gpu_s", "cpu_s", "usd", "usd_per_hour")
    sums = [func.coalesce(func.sum(run_costs.c[name]), 0.0).label(name) for name in names]
    row = (await connection.execute(select(func.count().label("count"), *sums).select_from(run_costs))).mappings().one()
    return SpendingLine(**row)


async def change(connection: AsyncConnection, run_id: str, values: Mapping[str, object]) -> None:
    """Set these columns of a run's costs."""
    await connection.execute(update(run_costs).where(run_costs.c.run_id == run_id).values(**values))


async def past_runs(connection: AsyncConnection, spec: RunSpec, limit: int) -> list[Past]:
    """The newest completed runs of the same model on the same kind of machine that trained at least two versions."""
    columns = (
        runs.c.spec,
        runs.c.created_at,
        runs.c.rollouts_started_at,
        runs.c.finishing_since,
        runs.c.newest_version,
    )
    statement = (
        select(*columns)
        .where(
            runs.c.status == RunStatus.COMPLETED.value, runs.c.newest_version >= 2,
            runs.c.rollouts_started_at.is_not(None), runs.c.finishing_since.is_not(None),
        )
        .order_by(runs.c.created_at.desc())
        .limit(200)
    )  # fmt: skip
    found: list[Past] = []
    for row in (await connection.execute(statement)).mappings():
        told: dict[str, Any] = row["spec"]
        same = all(told.get(name) == getattr(spec, name) for name in ("base_model", "gpu_model", "provider", "mode"))
        trained_s = (row["finishing_since"] - row["rollouts_started_at"]).total_seconds()
        if same and trained_s > 0 and len(found) < limit:
            startup_s = max(0.0, (row["rollouts_started_at"] - row["created_at"]).total_seconds())
            found.append(Past(startup_s=startup_s, step_s=trained_s / row["newest_version"]))
    return found
