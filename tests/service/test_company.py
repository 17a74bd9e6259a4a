"""Judged groups wait a moment for one another, and for nothing else."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from sqlalchemy import func, insert, select

from skyscale.buffer import writer
from skyscale.buffer.parsing import ParsedGroup, parse_push
from skyscale.buffer.queries import GroupRow
from skyscale.buffer.wakeup import Wakeup
from skyscale.errors import Conflict, Invalid
from skyscale.store.tables.buffer import buffer_trajectories
from skyscale.wire.batches import PushReply
from tests.service.buffer_bench import RUN, Bench, group_json, spec

FOR_EVER_S = 60.0


@pytest.fixture
def commits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry per transaction of pushes."""
    seen: list[object] = []
    transact = bench.database.transact

    async def counted(work: Callable[[Any], Any]) -> Any:
        seen.append(work)
        return await transact(work)

    monkeypatch.setattr(bench.database, "transact", counted)
    return seen


def judged(ticket: GroupRow) -> ParsedGroup:
    return parse_push(group_json(ticket, (0.0, 1.0))).groups[0]


async def kept(bench: Bench, *tickets: GroupRow) -> list[PushReply]:
    """They arrive one after another."""
    tasks: list[asyncio.Task[PushReply]] = []
    for ticket in tickets:
        tasks.append(asyncio.create_task(bench.buffer.keep(judged(ticket), may_wait=True)))
        await asyncio.sleep(0.005)
    async with asyncio.timeout(10):
        return list(await asyncio.gather(*tasks))


async def test_groups_that_may_wait_share_a_transaction_and_a_lone_one_is_stored_all_the_same(
    bench: Bench, commits: list[object]
) -> None:
    tickets = await bench.tickets(4)
    commits.clear()
    assert [reply.accepted for reply in await kept(bench, *tickets[:3])] == [2, 2, 2]
    assert len(commits) == 1
    assert [reply.accepted for reply in await kept(bench, tickets[3])] == [2]


async def test_so_many_do_not_wait_for_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "COMPANY_S", FOR_EVER_S)
    assert len(await kept(bench, *await bench.tickets(4))) == writer.COMPANY


async def test_one_that_may_not_wait_takes_the_others_along(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "COMPANY_S", FOR_EVER_S)
    first, second, *_ = await bench.tickets(4)
    waits = asyncio.create_task(bench.buffer.keep(judged(first), may_wait=True))
    await asyncio.sleep(0.01)
    assert not waits.done()
    async with asyncio.timeout(10):
        assert await bench.push(second) == (2, 0)
        assert (await waits).accepted == 2


async def test_what_completes_a_batch_that_somebody_waits_for_is_stored_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "COMPANY_S", FOR_EVER_S)
    tickets = await bench.tickets(2)
    trainer = asyncio.create_task(bench.lease(2, wait_s=20.0))
    async with asyncio.timeout(10):
        for ticket in tickets:
            while bench.buffer.wakeup.lacking(RUN) != 1:  # noqa: ASYNC110 - until the trainer has looked again
                await asyncio.sleep(0.01)
            await kept(bench, ticket)
        assert sorted((await trainer)[1]) == sorted(ticket.group_id for ticket in tickets)


def test_nobody_who_waits_lacks_nothing_that_could_come() -> None:
    wakeup = Wakeup()
    assert wakeup.lacking("rl-1") == float("inf")
    wakeup.batch_bell("rl-1").missing += 2
    assert wakeup.lacking("rl-1") == 3


async def test_a_push_that_is_refused_does_not_take_its_company_along(bench: Bench) -> None:
    """Both share a transaction: a number that cannot be written, and the same group under another run."""
    await bench.open(spec(run_id="rl-other"))
    first, second, *_ = await bench.tickets(4)
    single = b'{"run_id":"%s","problem_id":"p","prompt":"","code":"","reward":0.5,"step_n":1%s}' % (
        RUN.encode(),
        b"0" * 30,
    )
    elsewhere = orjson.dumps(orjson.loads(group_json(second, (0.0, 1.0))) | {"run_id": "rl-other"})
    async with asyncio.timeout(10):
        well, large = await asyncio.gather(bench.push(first), bench.buffer.push(single), return_exceptions=True)
        also, wrong = await asyncio.gather(bench.push(second), bench.buffer.push(elsewhere), return_exceptions=True)
    assert (well, also) == ((2, 0), (2, 0))
    assert isinstance(large, Invalid) and "step_n" in large.detail
    assert isinstance(wrong, Conflict) and wrong.code == "unknown_ticket"


async def test_a_single_trajectory_that_another_control_plane_stores_just_now_fails_nobody(bench: Bench) -> None:
    (ticket, *_) = await bench.tickets(4)
    single = {"run_id": RUN, "problem_id": "p", "prompt": "", "code": "", "reward": 0.5, "trajectory_id": "tr-twice"}
    row = {"run_id": RUN, "trajectory_id": "tr-twice", "payload": b"{}", "consumed": False, "created_at": bench.now}
    async with asyncio.timeout(10), bench.database.write() as elsewhere:
        await elsewhere.execute(insert(buffer_trajectories).values(row))
        pushes = asyncio.gather(bench.push(ticket), bench.buffer.push(orjson.dumps(single)), return_exceptions=True)
        await asyncio.sleep(0.3)  # they wait for that transaction
    group, again = await pushes
    assert group == (2, 0)
    assert isinstance(again, PushReply)
    async with bench.database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(buffer_trajectories))).scalar_one() == 1
