"""Prepared statements: the same rows, values and errors on every kind of connection of both databases."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import bindparam, func, insert, null, select, update
from sqlalchemy.exc import IntegrityError

from skyscale.errors import Invalid
from skyscale.store import prepared
from skyscale.store.engine import AsyncConnection, Database
from skyscale.store.prepared import Prepared
from skyscale.store.tables.jobs import jobs

NOON = datetime(2026, 1, 2, 12, tzinfo=timezone(timedelta(hours=2)))
NAMES = (
    "job_id", "role", "index", "provider", "gpu_model", "max_attempts", "desired", "held", "status", "attempt",
    "due_at", "created_at", "metrics", "heartbeat_at", "detail",
)  # fmt: skip
_NEW = Prepared(insert(jobs), NAMES)
_READ = select(jobs.c.job_id, jobs.c.held, jobs.c.created_at, jobs.c.heartbeat_at, jobs.c.metrics, jobs.c.detail)
_BY_ID = Prepared(_READ.where(jobs.c.job_id.in_(bindparam("ids", expanding=True))).order_by(jobs.c.job_id))
_OF_TWO = Prepared(select(func.count()).where(jobs.c.status.in_(("queued", "running")), jobs.c.index < bindparam("n")))
_HEARD = Prepared(
    update(jobs)
    .where(jobs.c.job_id == bindparam("id_"))
    .values(heartbeat_at=bindparam("at"), metrics=bindparam("metrics"), reason=null())
)


def row(name: str, **changes: object) -> dict[str, object]:
    values = {
        "job_id": name, "role": "worker", "index": 0, "provider": "local", "gpu_model": "cpu", "max_attempts": 1,
        "desired": "run", "held": False, "status": "queued", "attempt": 0, "due_at": NOON, "created_at": NOON,
        "metrics": {"x": 1.5}, "heartbeat_at": None, "detail": "it\x00s",
    }  # fmt: skip
    return values | changes


async def test_values_are_written_and_read_as_an_ordinary_statement_would(database: Database) -> None:
    async def write(connection: AsyncConnection) -> int:
        await _NEW.change(connection, [row("a"), row("b", metrics={}, held=True)])
        return await _HEARD.change(connection, {"id_": "b", "at": NOON, "metrics": {"y": None}})

    assert await database.write_at_once(write) == 1

    async def plain(connection: AsyncConnection) -> list[tuple[object, ...]]:
        return [tuple(each) for each in await connection.execute(_READ.order_by(jobs.c.job_id))]

    async def fast(connection: AsyncConnection) -> list[tuple[object, ...]]:
        return [tuple(each) for each in await _BY_ID.all(connection, {"ids": ["a", "b"]})]

    at = NOON.astimezone(UTC)
    wanted = [("a", False, at, None, {"x": 1.5}, "it\ufffds"), ("b", True, at, at, {"y": None}, "it\ufffds")]
    assert await database.read_at_once(plain) == wanted
    assert await database.read_at_once(fast) == wanted
    async with database.read() as connection:
        assert await fast(connection) == wanted


async def test_lists_may_have_any_length_and_constants_need_not_be_named(database: Database) -> None:
    await database.write_at_once(lambda c: _NEW.change(c, [row(f"j{i}", index=i, status="running") for i in range(5)]))

    async def look(connection: AsyncConnection) -> list[int]:
        return [len(await _BY_ID.all(connection, {"ids": [f"j{i}" for i in range(n)]})) for n in (0, 1, 4, 1, 0)]

    assert await database.read_at_once(look) == [0, 1, 4, 1, 0]
    counted = await database.read_at_once(lambda connection: _OF_TWO.first(connection, {"n": 3}))
    assert counted is not None
    assert list(counted) == [3]
    assert await database.read_at_once(lambda connection: _BY_ID.first(connection, {"ids": ["none"]})) is None


async def test_lists_of_ever_new_lengths_are_not_all_remembered(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "MOST_PLACES", 100)
    statement = Prepared(_READ.where(jobs.c.job_id.in_(bindparam("ids", expanding=True))))
    await database.write_at_once(lambda connection: _NEW.change(connection, row("j0")))
    for length in (*range(1, 40), 200, 1):
        ids = [f"j{i}" for i in range(length)]
        assert len(await database.read_at_once(lambda c, ids=ids: statement.all(c, {"ids": ids}))) == 1
    plans = list(statement._plans.values())  # pyright: ignore[reportPrivateUsage]
    assert len(plans) == database.is_sqlite
    assert all(sum(len(text.slots) for text in plan._texts.values()) <= 100 for plan in plans)  # pyright: ignore[reportPrivateUsage]


async def test_a_statement_that_fails_undoes_its_transaction_and_is_an_error_of_sqlalchemy(database: Database) -> None:
    async def twice(connection: AsyncConnection) -> None:
        await _NEW.change(connection, row("once"))
        await _NEW.change(connection, row("once"))

    with pytest.raises(IntegrityError):
        await database.write_at_once(twice)
    assert await database.read_at_once(lambda connection: _BY_ID.all(connection, {"ids": ["once"]})) == []
    await database.write_at_once(lambda connection: _NEW.change(connection, row("once")))
    assert await database.read_at_once(lambda connection: _BY_ID.first(connection, {"ids": ["once"]})) is not None


async def test_a_number_that_is_too_large_is_the_callers_mistake(database: Database) -> None:
    with pytest.raises(Invalid):
        await database.write_at_once(lambda connection: _NEW.change(connection, row("large", index=2**70)))


async def test_a_value_that_is_left_out_is_refused(database: Database) -> None:
    with pytest.raises(Exception, match="id_"):
        await database.write_at_once(lambda connection: _HEARD.change(connection, {"at": NOON, "metrics": {}}))
