"""What the writer of executions keeps when it is cut off: every execution, once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import func, select

from skyscale.errors import Unavailable
from skyscale.functions.calls.queries import Execution
from skyscale.functions.calls.writing import Writer
from skyscale.store.engine import AsyncConnection, Database
from skyscale.store.tables.functions import executions
from skyscale.wire.functions import ExecutionStatus


class Deaf(Database):
    """Commits, and its answer is lost on the way."""

    num_lost = 0

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        async with super().write() as connection:
            yield connection
        if self.num_lost:
            self.num_lost -= 1
            raise Unavailable("the answer was lost")


def rows(first: int, count: int) -> list[Execution]:
    return [
        Execution(
            execution_id=f"fx-{number}", function="f", version="v", holder="here:1:cp-1", input="1", output=str(number),
            status=ExecutionStatus.COMPLETED,
        )
        for number in range(first, first + count)
    ]  # fmt: skip


async def kept(database: Database) -> tuple[int, int]:
    """How many rows there are, and of how many executions."""
    async with database.read() as connection:
        id_ = executions.c.execution_id
        count, distinct = (await connection.execute(select(func.count(id_), func.count(id_.distinct())))).one()
    return count, distinct


async def test_a_batch_whose_commit_was_not_heard_of_is_written_once(database: Database, database_url: str) -> None:
    written: list[str] = []
    deaf = Deaf(database_url)
    deaf.num_lost = 1
    writer = Writer(deaf, lambda batch: written.extend(row.execution_id for row in batch))
    for row in rows(0, 2):
        writer.put(row, is_new=True)
    with pytest.raises(Unavailable):
        await writer.flush()
    for row in rows(2, 1):
        writer.put(row, is_new=True)
    await writer.flush()
    assert await kept(database) == (3, 3)
    assert written == ["fx-0", "fx-1", "fx-2"]
    await deaf.close()


async def test_a_writer_that_is_cancelled_anywhere_loses_nothing_and_writes_nothing_twice(database: Database) -> None:
    written: list[str] = []
    writer = Writer(database, lambda batch: written.extend(row.execution_id for row in batch))
    for turn in range(60):
        for row in rows(2 * turn, 2):
            writer.put(row, is_new=True)
        task = asyncio.create_task(writer.flush())
        await asyncio.sleep(turn * 0.0002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await writer.stop()
    assert await kept(database) == (120, 120)
    assert sorted(written) == sorted(f"fx-{number}" for number in range(120))
