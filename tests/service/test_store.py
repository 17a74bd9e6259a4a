"""The database: migrations and transactions, on both kinds."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from skyscale.errors import Invalid, Unavailable
from skyscale.store.engine import AsyncConnection, Database
from skyscale.store.migrate import upgrade
from skyscale.store.tables import metadata


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


def _differences(connection: Connection) -> list[object]:
    return compare_metadata(MigrationContext.configure(connection), metadata)


async def test_the_migrations_make_exactly_the_tables(database: Database) -> None:
    await upgrade(database)
    async with database.read() as connection:
        assert await connection.run_sync(_differences) == []


async def test_several_processes_may_start_at_once(database: Database, database_url: str) -> None:
    others = [Database(database_url) for _ in range(3)]
    await asyncio.gather(*(upgrade(each) for each in (database, *others)))
    for each in others:
        await each.close()
    async with database.read() as connection:
        versions = (await connection.execute(text("SELECT count(*) FROM alembic_version"))).scalar_one()
    assert versions == 1


async def test_what_waits_for_a_commit_is_called_after_it_and_never_without_it(database: Database) -> None:
    called: list[str] = []
    async with database.write() as connection:
        database.after_commit(connection, lambda: called.append("committed"))
        assert called == []
    with pytest.raises(ZeroDivisionError):
        async with database.write() as connection:
            database.after_commit(connection, lambda: called.append("rolled back"))
            raise ZeroDivisionError
    assert called == ["committed"]


async def test_a_look_sees_what_was_committed_and_waits_for_no_writer(database: Database) -> None:
    await upgrade(database)

    async def names(connection: AsyncConnection) -> list[str]:
        return list((await connection.execute(text("SELECT replica_id FROM looked_at"))).scalars())

    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE looked_at (replica_id VARCHAR(10))"))
    async with database.write() as connection:
        await connection.execute(text("INSERT INTO looked_at VALUES ('one')"))
        async with asyncio.timeout(20):
            assert await database.read_at_once(names) == []
    assert await database.read_at_once(names) == ["one"]
    async with database.write() as connection:
        await connection.execute(text("DROP TABLE looked_at"))
    await database.close()
    with pytest.raises(Unavailable):
        await database.read_at_once(names)


async def test_a_number_that_is_too_large_is_the_callers_mistake(database: Database) -> None:
    await upgrade(database)
    with pytest.raises(Invalid):
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO event_counters (run_id, seq) VALUES ('x', :n)"), {"n": 10**30})


async def test_a_database_that_is_not_there_is_reported_and_not_waited_for() -> None:
    nowhere = Database("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    async with asyncio.timeout(5):
        assert not await nowhere.answers()
    await nowhere.close()


async def test_closing_waits_for_blocks_under_way_and_then_nothing_opens(database: Database) -> None:
    await upgrade(database)
    inside, go_on, seen = asyncio.Event(), asyncio.Event(), list[str]()

    async def block() -> None:
        async with database.read() as connection:
            inside.set()
            await go_on.wait()
            seen.append(str((await connection.execute(text("SELECT 7"))).scalar_one()))

    reading = asyncio.create_task(block())
    await inside.wait()
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    go_on.set()
    await asyncio.gather(reading, closing)
    assert seen == ["7"]
    with pytest.raises(Unavailable, match="stopping"):
        async with database.read():
            pass


async def test_a_block_that_is_cancelled_at_any_moment_gives_its_connection_back(database: Database) -> None:
    await upgrade(database)

    async def block() -> None:
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))

    for turns in range(40):
        task = asyncio.create_task(block())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(20):
        await asyncio.gather(*(block() for _ in range(20)))
    assert database.engine.pool.checkedout() == 0  # pyright: ignore[reportAttributeAccessIssue]
