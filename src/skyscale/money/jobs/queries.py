"""All SQL of what jobs of their own cost; jobs are read here as rows, and never written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.money.queries import JobSpan
from skyscale.store.tables.costs import job_costs
from skyscale.store.tables.jobs import jobs
from skyscale.wire.costs import JobCost, SpendingLine
from skyscale.wire.jobs import JobRole

_SPAN = ("run_id", "role", "provider", "gpu_model", "status", "attempt", "started_at", "ended_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCostRow:
    """A row of `job_costs`, typed."""

    job_id: str
    gpu_s: float
    cpu_s: float
    usd: float
    usd_per_hour: float
    max_cost_usd: float | None
    unpriced: list[str]
    metered_at: datetime
    is_closed: bool


_COLUMNS = [job_costs.c[field.name] for field in fields(JobCostRow)]
_SHOWN = [job_costs.c[name] for name in ("job_id", *JobCost.model_fields)]


async def open_meter(connection: AsyncConnection, job_id: str, cap: float | None, now: datetime) -> None:
    """Begin a job's costs at nothing."""
    values: dict[str, object] = {
        "job_id": job_id, "gpu_s": 0.0, "cpu_s": 0.0, "usd": 0.0, "usd_per_hour": 0.0, "max_cost_usd": cap,
        "unpriced": [], "metered_at": now,
    }  # fmt: skip
    await connection.execute(insert(job_costs).values(**values))


async def opened(connection: AsyncConnection, *, lock: bool = False) -> list[tuple[JobCostRow, JobSpan]]:
    """Every job whose meter runs; with `lock`, nobody else moves them until the transaction ends."""
    spans = [jobs.c[name] for name in _SPAN]
    query = select(*_COLUMNS, *spans).join(jobs, jobs.c.job_id == job_costs.c.job_id)
    query = query.where(job_costs.c.is_closed.is_(False)).order_by(job_costs.c.job_id)
    found: list[tuple[JobCostRow, JobSpan]] = []
    for row in (await connection.execute(query.with_for_update(of=job_costs) if lock else query)).mappings():
        cost = JobCostRow(**{field.name: row[field.name] for field in fields(JobCostRow)})
        span: dict[str, Any] = {name: row[name] for name in _SPAN} | {"role": JobRole(row["role"]), "tokens": 0}
        found.append((cost, JobSpan(job_id=cost.job_id, **span)))
    return found


async def change(connection: AsyncConnection, job_id: str, values: Mapping[str, object]) -> None:
    """Set these columns of a job's costs."""
    await connection.execute(update(job_costs).where(job_costs.c.job_id == job_id).values(**values))


async def costs_of(connection: AsyncConnection, job_ids: Sequence[str]) -> dict[str, JobCost]:
    """What those of these jobs cost that have a meter."""
    rows = (await connection.execute(select(*_SHOWN).where(job_costs.c.job_id.in_(job_ids)))).mappings()
    return {row["job_id"]: JobCost(**{name: row[name] for name in JobCost.model_fields}) for row in rows}


async def spent(connection: AsyncConnection) -> SpendingLine:
    """All jobs of their own together."""
    names = ("gpu_s", "cpu_s", "usd", "usd_per_hour")
    sums = [func.coalesce(func.sum(job_costs.c[name]), 0.0).label(name) for name in names]
    row = (await connection.execute(select(func.count().label("count"), *sums).select_from(job_costs))).mappings().one()
    return SpendingLine(**row)
