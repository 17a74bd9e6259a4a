"""The thread of a SQLite database: turns, cancellation, failures."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from skyscale.store.engine import AsyncConnection, Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncGenerator[Database]:
    opened = Database(f"sqlite+aiosqlite:///{tmp_path / 'test.db'}")
    await opened.transact(lambda connection: connection.execute(text("CREATE TABLE told (word TEXT)")))
    yield opened
    await opened.close()


async def words(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.execute(text("SELECT word FROM told"))).scalars())


def tell(word: str) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(text(f"INSERT INTO told VALUES ('{word}')"))


async def test_what_was_cancelled_before_its_turn_is_not_done_and_what_was_begun_is(database: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        begun.set()
        assert go_on.wait(10)
        tell("begun")(connection)

    first = asyncio.create_task(database.transact(slow))
    assert await asyncio.to_thread(begun.wait, 10)
    first.cancel()
    second = asyncio.create_task(database.transact(tell("never")))
    await asyncio.sleep(0.01)
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert first.cancelled() and second.cancelled()
    go_on.set()
    await database.transact(tell("after"))
    assert await words(database) == ["begun", "after"]


async def test_work_that_was_not_done_is_not_kept_while_the_thread_waits(database: Database) -> None:
    class Push:
        """What the work is about."""

    begun, go_on, push = threading.Event(), threading.Event(), Push()
    known = weakref.ref(push)
    first = asyncio.create_task(database.transact(lambda _: begun.set() or go_on.wait(10)))
    assert await asyncio.to_thread(begun.wait, 10)
    first.cancel()
    second = asyncio.create_task(database.transact(lambda _, push=push: push))
    await asyncio.sleep(0.01)
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    go_on.set()
    del push, first, second
    async with asyncio.timeout(5):
        while known() is not None:
            gc.collect()
            await asyncio.sleep(0.01)


async def test_a_failed_transaction_leaves_nothing_and_the_next_one_works(database: Database) -> None:
    def fails(connection: Connection) -> None:
        tell("half")(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.transact(fails)
    with pytest.raises(OperationalError):
        await database.transact(lambda connection: connection.execute(text("no statement")))
    await database.transact(tell("whole"))
    assert await words(database) == ["whole"]


async def test_a_failed_look_does_not_spoil_the_next_one(database: Database) -> None:
    async def fails(_: AsyncConnection) -> None:
        raise ZeroDivisionError

    async def look(connection: AsyncConnection) -> int:
        return (await connection.execute(text("SELECT count(*) FROM told"))).scalar_one()

    with pytest.raises(ZeroDivisionError):
        await database.read_at_once(fails)
    await database.transact(tell("one"))
    assert await database.read_at_once(look) == 1


async def test_a_closed_database_leaves_no_thread(database: Database) -> None:
    await database.transact(tell("one"))
    names = {thread.name for thread in threading.enumerate()}
    assert "skyscale-writer" in names
    before = sum(thread.name == "skyscale-writer" for thread in threading.enumerate())
    await database.close()
    async with asyncio.timeout(5):
        while sum(thread.name == "skyscale-writer" for thread in threading.enumerate()) >= before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
