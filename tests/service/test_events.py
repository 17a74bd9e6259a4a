"""The event log on both databases."""

import asyncio

import pytest
from fastapi import FastAPI

from skyscale.api.services import Services


@pytest.fixture
def parts(app: FastAPI) -> Services:
    return app.state.services


async def test_concurrent_appends_get_rising_numbers_without_a_gap(parts: Services) -> None:
    async def append(n: int) -> None:
        async with parts.database.write() as connection:
            await parts.events.append(connection, run_id="rl-abc", component="c", kind="k.k", message=f"{n}")

    await asyncio.gather(*(append(n) for n in range(20)))
    page = await parts.events.list("rl-abc", 0, 100)
    assert [event.seq for event in page] == list(range(1, 21))
    assert sorted(int(event.message) for event in page) == list(range(20))
    assert page[0].timestamp.tzinfo is not None


async def test_an_event_of_a_transaction_that_failed_never_existed(parts: Services) -> None:
    with pytest.raises(ZeroDivisionError):
        async with parts.database.write() as connection:
            await parts.events.append(connection, run_id="rl-abc", component="c", kind="k", message="m")
            raise ZeroDivisionError
    async with parts.database.read() as connection:
        assert await parts.events.count(connection, "rl-abc") == 0


async def test_a_follower_sees_old_events_and_is_woken_by_new_ones(parts: Services) -> None:
    seen: list[str] = []

    async def follow() -> None:
        async for event in parts.events.follow("rl-abc", 1):
            seen.append(event.message)
            if event.message == "last":
                return

    async def append(message: str) -> None:
        async with parts.database.write() as connection:
            await parts.events.append(connection, run_id="rl-abc", component="c", kind="k", message=message)

    for message in ("skipped", "old"):
        await append(message)
    follower = asyncio.create_task(follow())
    await asyncio.sleep(0.05)
    await append("last")
    async with asyncio.timeout(0.4):
        await follower
    assert seen == ["old", "last"]


async def test_text_that_no_database_can_hold_is_kept_with_a_replacement(parts: Services) -> None:
    async with parts.database.write() as connection:
        await parts.events.append(
            connection, run_id="rl-abc", component="c", kind="k", message="a\x00b\ud800",
            data={"text": "x\x00y", "escaped": "\\u0000", "half": "\udfff"},
        )  # fmt: skip
    (event,) = await parts.events.list("rl-abc")
    assert event.message.startswith("a\ufffdb")
    assert event.data == {"text": "x\ufffdy", "escaped": "\\u0000", "half": "\ufffd"}
