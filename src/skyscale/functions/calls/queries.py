"""All SQL of executions."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.store.tables.functions import executions
from skyscale.wire.base import utc_now
from skyscale.wire.functions import ExecutionStatus

_OPEN = executions.c.status.in_([ExecutionStatus.QUEUED.value, ExecutionStatus.RUNNING.value])


@dataclass(slots=True, kw_only=True)
class Execution:
    """A row, or one to be; its holder alone changes it."""

    execution_id: str
    function: str
    version: str
    holder: str
    input: str
    """JSON."""
    status: ExecutionStatus = ExecutionStatus.QUEUED
    lease_until: datetime = field(default_factory=utc_now)
    """While its holder lives this is in the future; only `renew` and `let_go` write it."""
    job_id: str | None = None
    idempotency_key: str | None = None
    output: str | None = None
    """JSON."""
    error_message: str | None = None
    error_traceback: str | None = None
    stdout: str = ""
    stderr: str = ""
    is_cold: bool | None = None
    duration_ms: float | None = None
    created_at: datetime = field(default_factory=utc_now)
    started_at: datetime | None = None
    ended_at: datetime | None = None


async def insert_new(connection: AsyncConnection, rows: Sequence[Execution]) -> None:
    """New rows; more than one go in one statement."""
    await connection.execute(insert(executions), [_values(row) for row in rows])


async def insert_ended(connection: AsyncConnection, rows: Sequence[Execution]) -> None:
    """Rows that nobody changes any more; one that is there already was written by a commit that was not heard of."""
    upsert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    statement = upsert(executions).on_conflict_do_nothing(index_elements=[executions.c.execution_id])
    await connection.execute(statement, [_values(row) for row in rows])


async def save(connection: AsyncConnection, row: Execution) -> None:
    """What became of a row that its holder still holds."""
    mine = _OPEN & (executions.c.execution_id == row.execution_id) & (executions.c.holder == row.holder)
    values = _values(row)
    del values["lease_until"]
    await connection.execute(update(executions).where(mine).values(**values))


async def get(connection: AsyncConnection, execution_id: str) -> Execution | None:
    """One execution."""
    row = (await connection.execute(select(executions).where(executions.c.execution_id == execution_id))).first()
    return _read(row) if row is not None else None


async def by_key(connection: AsyncConnection, function: str, key: str) -> Execution | None:
    """The execution of that idempotency key."""
    same = (executions.c.function == function) & (executions.c.idempotency_key == key)
    row = (await connection.execute(select(executions).where(same))).first()
    return _read(row) if row is not None else None


async def page(
    connection: AsyncConnection, *, function: str | None, before: int | None, limit: int
) -> list[tuple[int, Execution]]:
    """Executions with their place in the order, newest first."""
    query = select(executions).order_by(executions.c.seq.desc()).limit(limit)
    if function is not None:
        query = query.where(executions.c.function == function)
    if before is not None:
        query = query.where(executions.c.seq < before)
    return [(row.seq, _read(row)) for row in await connection.execute(query)]


async def open_rows(connection: AsyncConnection) -> list[Execution]:
    """Every execution that has not ended, oldest first."""
    return [_read(row) for row in await connection.execute(select(executions).where(_OPEN).order_by(executions.c.seq))]


async def renew(connection: AsyncConnection, holder: str, until: datetime) -> None:
    """Say that the holder of open rows lives; with a time that is past, that it lets them go."""
    mine = _OPEN & (executions.c.holder == holder)
    await connection.execute(update(executions).where(mine).values(lease_until=until))


async def take_over(connection: AsyncConnection, row: Execution, holder: str, until: datetime) -> bool:
    """Make a queued row of a holder that is gone ours; False when somebody else did."""
    theirs = (executions.c.execution_id == row.execution_id) & (executions.c.holder == row.holder)
    queued = executions.c.status == ExecutionStatus.QUEUED.value
    taken = update(executions).where(theirs & queued).values(holder=holder, lease_until=until)
    return (await connection.execute(taken)).rowcount == 1


async def forget(connection: AsyncConnection, ended_before: datetime) -> None:
    """Drop what ended long ago."""
    await connection.execute(delete(executions).where(executions.c.ended_at < ended_before))


def _values(row: Execution) -> dict[str, Any]:
    return asdict(row) | {"status": row.status.value}


def _read(row: Row[Any]) -> Execution:
    values: dict[str, Any] = {each.name: getattr(row, each.name) for each in fields(Execution)}
    values["status"] = ExecutionStatus(row.status)
    return Execution(**values)
