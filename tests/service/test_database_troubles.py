"""A SQLite file that cannot be written: it is said, with what to do; nothing half is kept, and the next call works."""

import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from skyscale.errors import Unavailable
from skyscale.store.engine import AsyncConnection, Database
from skyscale.store.migrate import upgrade


@pytest.fixture
async def database(tmp_path: Path) -> AsyncGenerator[Database]:
    made = Database(f"sqlite+aiosqlite:///{tmp_path / 'it.db'}")
    await made.transact(lambda connection: connection.execute(text("CREATE TABLE told (word TEXT)")))
    yield made
    await made.close()


def pragma(what: str):
    return lambda connection: connection.exec_driver_sql(f"PRAGMA {what}").all()


def tell(connection: Connection) -> None:
    connection.execute(text("INSERT INTO told VALUES (:word)"), [{"word": "w" * 1000} for _ in range(100)])


async def count(connection: AsyncConnection) -> int:
    return (await connection.execute(text("SELECT count(*) FROM told"))).scalar_one()


async def test_a_full_disk_is_said_and_nothing_half_is_kept(database: Database) -> None:
    await database.transact(pragma("max_page_count=10"))
    with pytest.raises(Unavailable, match="database or disk is full") as told:
        await database.transact(tell)
    assert told.value.code == "database_unavailable"
    assert "Make room on the disk" in told.value.hint
    assert await database.read_at_once(count) == 0
    await database.transact(pragma("max_page_count=10000"))
    await database.transact(tell)
    assert await database.read_at_once(count) == 100


async def test_a_file_that_another_process_keeps_locked_is_said(database: Database, tmp_path: Path) -> None:
    await database.transact(pragma("busy_timeout=50"))
    async with database.read() as connection:
        await connection.exec_driver_sql("PRAGMA busy_timeout=50")
    other = sqlite3.connect(tmp_path / "it.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(Unavailable, match="database is locked") as told:
            await database.transact(tell)
        assert "another process" in told.value.hint
        with pytest.raises(Unavailable, match="database is locked"):
            async with database.write() as connection:
                await connection.execute(text("DELETE FROM told"))
        assert await database.read_at_once(count) == 0, "who reads does not wait for who writes"
    finally:
        other.close()
    await database.transact(tell)
    assert await database.read_at_once(count) == 100


@pytest.mark.parametrize(
    ("name", "hint"), [("other.txt", "Name a file that Skyscale made"), ("nowhere/it.db", "Look for the folder")]
)
async def test_a_path_that_is_no_database_is_said(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / "other.txt").write_text("something else " * 100)
    database = Database(f"sqlite+aiosqlite:///{tmp_path / name}")
    try:
        with pytest.raises(Unavailable) as told:
            await upgrade(database)
    finally:
        await database.close()
    assert hint in told.value.hint
