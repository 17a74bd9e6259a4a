"""All SQL of events."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, bindparam, func, insert, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.store.prepared import Prepared
from skyscale.store.tables.events import event_counters, events

_NEW = Prepared(insert(events), [column.name for column in events.c])


def _next(upsert: Callable[..., Any]) -> Prepared:
    statement = upsert(event_counters).values(run_id=bindparam("run"), seq=1)
    return Prepared(
        statement.on_conflict_do_update(
            index_elements=[event_counters.c.run_id], set_={"seq": event_counters.c.seq + 1}
        ).returning(event_counters.c.seq)
    )


_NEXT = {"sqlite": _next(sqlite_insert), "postgresql": _next(postgresql_insert)}


async def next_seq(connection: AsyncConnection, run_id: str) -> int:
    """The run's next number. The counter's row stays locked until commit, so numbers become visible in order."""
    return (await _NEXT[connection.dialect.name].all(connection, {"run": run_id}))[0][0]


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
    await _NEW.change(connection, {"run_id": run_id, "seq": seq, "timestamp": timestamp, **values})


async def select_events(connection: AsyncConnection, run_id: str, after_seq: int, limit: int) -> Sequence[RowMapping]:
    """Events of a run after a number, oldest first."""
    statement = select(events).where(events.c.run_id == run_id, events.c.seq > after_seq)
    return (await connection.execute(statement.order_by(events.c.seq).limit(limit))).mappings().all()


async def count_events(connection: AsyncConnection, run_id: str) -> int:
    """How many events a run has."""
    statement = select(func.count()).select_from(events).where(events.c.run_id == run_id)
    return (await connection.execute(statement)).scalar_one()
