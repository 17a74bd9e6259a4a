"""All SQL of what services cost."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.store.tables.costs import service_costs
from skyscale.wire.costs import ServiceCost, SpendingLine


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCostRow:
    """A row of `service_costs`, typed."""

    service_id: str
    name: str
    owner: str
    vcpus: float
    memory_gb: float
    running_s: float = 0.0
    usd: float = 0.0
    usd_per_hour: float
    max_cost_usd: float | None
    is_running: bool = True
    opened_at: datetime
    metered_at: datetime
    is_closed: bool = False


_COLUMNS = [service_costs.c[field.name] for field in fields(ServiceCostRow)]
_SHOWN = [service_costs.c[name] for name in ("service_id", *ServiceCost.model_fields)]


async def insert_row(connection: AsyncConnection, row: ServiceCostRow) -> None:
    """Begin a service's costs."""
    await connection.execute(insert(service_costs).values(**asdict(row)))


async def opened(connection: AsyncConnection, owner: str, *, lock: bool = False) -> list[ServiceCostRow]:
    """Every service of this owner whose meter runs; with `lock`, nobody else moves them meanwhile."""
    mine = (service_costs.c.owner == owner, service_costs.c.is_closed.is_(False))
    query = select(*_COLUMNS).where(*mine).order_by(service_costs.c.service_id)
    rows = await connection.execute(query.with_for_update() if lock else query)
    return [ServiceCostRow(**row) for row in rows.mappings()]


async def change(connection: AsyncConnection, service_id: str, values: Mapping[str, object]) -> None:
    """Set these columns of a service's costs."""
    await connection.execute(update(service_costs).where(service_costs.c.service_id == service_id).values(**values))


async def costs_of(connection: AsyncConnection, service_ids: Sequence[str]) -> dict[str, ServiceCost]:
    """What those of these services cost that have a meter."""
    rows = (await connection.execute(select(*_SHOWN).where(service_costs.c.service_id.in_(service_ids)))).mappings()
    return {row["service_id"]: ServiceCost(**{name: row[name] for name in ServiceCost.model_fields}) for row in rows}


async def spent(connection: AsyncConnection) -> SpendingLine:
    """All services together; they have no accelerators."""
    cpu_s = func.coalesce(func.sum(service_costs.c.running_s * service_costs.c.vcpus), 0.0).label("cpu_s")
    sums = [func.coalesce(func.sum(service_costs.c[name]), 0.0).label(name) for name in ("usd", "usd_per_hour")]
    query = select(func.count().label("count"), cpu_s, *sums).select_from(service_costs)
    return SpendingLine(gpu_s=0.0, **(await connection.execute(query)).mappings().one())
