"""SQL of trajectories that were pushed one by one, outside of any group."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.store.prepared import Prepared
from skyscale.store.tables.buffer import buffer_trajectories as singles


def known_trajectories(connection: Connection, keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the (run id, trajectory id) pairs that are stored."""
    either = [and_(singles.c.run_id == run_id, singles.c.trajectory_id == id_) for run_id, id_ in keys]
    query = select(singles.c.run_id, singles.c.trajectory_id).where(or_(*either))
    return {(run_id, id_) for run_id, id_ in connection.execute(query)}


_NEW = {
    "sqlite": sqlite_insert(singles).on_conflict_do_nothing(),
    "postgresql": postgresql_insert(singles).on_conflict_do_nothing(),
}


def store_trajectories(connection: Connection, rows: list[dict[str, object]]) -> None:
    """Single trajectories, waiting to be sampled; one that another control plane stores just now stays as it is."""
    connection.execute(_NEW[connection.dialect.name], rows)


async def take_trajectories(connection: AsyncConnection, run_id: str, limit: int) -> list[tuple[str, bytes, datetime]]:
    """The oldest unsampled single trajectories (id, payload, time of push), consumed by this transaction."""
    query = select(singles.c.row_id, singles.c.trajectory_id, singles.c.payload, singles.c.created_at).where(
        singles.c.run_id == run_id, singles.c.consumed.is_(False)
    )
    locked = query.order_by(singles.c.row_id).limit(limit).with_for_update(skip_locked=True)
    rows = (await connection.execute(locked)).all()
    if rows:
        taken = and_(singles.c.run_id == run_id, singles.c.row_id.in_([row.row_id for row in rows]))
        await connection.execute(update(singles).where(taken).values(consumed=True))
    return [(row.trajectory_id, row.payload, row.created_at) for row in rows]


_COUNTS = Prepared(
    select(singles.c.consumed, func.count()).where(singles.c.run_id == bindparam("run")).group_by(singles.c.consumed)
)


async def count_trajectories(connection: AsyncConnection, run_id: str) -> tuple[int, int]:
    """(unsampled, sampled) single trajectories."""
    counts = {bool(consumed): int(number) for consumed, number in await _COUNTS.all(connection, {"run": run_id})}
    return counts.get(False, 0), counts.get(True, 0)
