"""All SQL of events."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import RowMapping, func, insert, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.store.tables.events import event_counters, events


async def next_seq(connection: AsyncConnection, run_id: str) -> int:
    """The run's next number. The counter's row stays locked until commit, so numbers become visible in order."""
    upsert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    statement = upsert(event_counters).values(run_id=run_id, seq=1)
    statement = statement.on_conflict_do_update(
        index_elements=[event_counters.c.run_id], set_={"seq": event_counters.c.seq + 1}
    ).returning(event_counters.c.seq)
    return (await connection.execute(statement)).scalar_one()


async def insert_event(
    connection: AsyncConnection,
    *,
    run_id: str,
    seq: int,
    timestamp: datetime,
    component: str,
    level: str,
    kind: str,
    message: str,
    data: dict[str, object],
) -> None:
    """Write one event."""
    values = {"component": component, "level": level, "kind": kind, "message": message, "data": data}
    await connection.execute(insert(events).values(run_id=run_id, seq=seq, timestamp=timestamp, **values))


async def select_events(connection: AsyncConnection, run_id: str, after_seq: int, limit: int) -> Sequence[RowMapping]:
    """Events of a run after a number, oldest first."""
    statement = select(events).where(events.c.run_id == run_id, events.c.seq > after_seq)
    return (await connection.execute(statement.order_by(events.c.seq).limit(limit))).mappings().all()


async def count_events(connection: AsyncConnection, run_id: str) -> int:
    """How many events a run has."""
    statement = select(func.count()).select_from(events).where(events.c.run_id == run_id)
    return (await connection.execute(statement)).scalar_one()
