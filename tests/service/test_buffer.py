"""The buffer on both databases: tickets, pushes, leases, publishing."""

import asyncio

import orjson
import pytest

from skyscale.buffer.admission import Draw
from skyscale.errors import Conflict, Invalid, NotFound
from skyscale.wire.batches import LeaseRequest, SampleRequest
from tests.service.buffer_bench import RUN, Bench, group_json


async def test_a_slot_is_freed_only_when_the_version_that_consumed_the_group_is_published(bench: Bench) -> None:
    granted = await bench.tickets(10)
    assert [g.sequence for g in granted] == [0, 1, 2, 3]  # 2 groups per step * (1 + 1)
    assert await bench.tickets(1) == []
    for ticket in granted:
        assert await bench.push(ticket) == (2, 0)
    assert await bench.tickets(1) == []
    lease_id, leased = await bench.lease(2)
    assert lease_id is not None and leased == [g.group_id for g in granted[:2]]
    assert await bench.tickets(1) == []
    await bench.buffer.ack(LeaseRequest(run_id=RUN, lease_id=lease_id))
    assert await bench.tickets(1) == []
    await bench.publish(1, lease_id)
    fresh = await bench.tickets(10)
    assert [(g.sequence, g.version) for g in fresh] == [(4, 1), (5, 1)]


async def test_a_repeated_ticket_request_gets_the_same_tickets(bench: Bench) -> None:
    first = await bench.tickets(3, "req-same")
    assert await bench.tickets(3, "req-same") == first
    assert len(await bench.tickets(3)) == 1


async def test_concurrent_requests_never_get_more_groups_than_slots(bench: Bench) -> None:
    granted = await asyncio.gather(*(bench.tickets(1, f"req-c{i}") for i in range(9)))
    assert sorted(g.sequence for tickets in granted for g in tickets) == [0, 1, 2, 3]


async def test_a_duplicate_push_is_counted_and_not_stored(bench: Bench) -> None:
    (ticket,) = await bench.tickets(1)
    replies = await asyncio.gather(*(bench.push(ticket) for _ in range(4)))
    assert sorted(replies) == [(0, 2), (0, 2), (0, 2), (2, 0)]
    assert (await bench.buffer.stats(RUN)).pushed == 2


async def test_flat_and_failed_groups_free_their_slot_at_once(bench: Bench) -> None:
    tickets = await bench.tickets(4)
    await bench.push(tickets[0], 0.5, 0.5)
    broken = orjson.loads(group_json(tickets[1], (0.0, 1.0, 0.0)))
    for row in broken["trajectories"][1:]:
        row["outcome"] = "infrastructure_failure"
    await bench.buffer.push(orjson.dumps(broken))
    stats = await bench.buffer.stats(RUN)
    assert (stats.flat, stats.failed, stats.size, stats.groups_in_play) == (2, 3, 0, 2)
    assert len(await bench.tickets(10)) == 2


async def test_a_push_needs_a_ticket_of_its_run_and_the_tickets_problem(bench: Bench) -> None:
    (ticket,) = await bench.tickets(1)
    body = orjson.loads(group_json(ticket, (0.0, 1.0)))
    with pytest.raises(Conflict) as unknown:
        await bench.buffer.push(orjson.dumps(body | {"group_id": "grp-nobody"}))
    assert unknown.value.code == "unknown_ticket"
    with pytest.raises(NotFound):
        await bench.buffer.push(orjson.dumps(body | {"run_id": "rl-nobody"}))
    with pytest.raises(Invalid, match="problem_id"):
        await bench.buffer.push(orjson.dumps(body | {"problem_id": "other"}))
    with pytest.raises(Conflict):  # one bad group refuses the whole batch
        await bench.buffer.push(orjson.dumps({"groups": [body, body | {"group_id": "grp-nobody"}]}))
    assert (await bench.buffer.stats(RUN)).pushed == 0
    async with bench.database.write() as connection:
        await bench.buffer.close(connection, RUN)
    with pytest.raises(Conflict) as closed:
        await bench.push(ticket)
    assert closed.value.code == "run_closed"


async def test_a_refused_push_does_not_refuse_those_that_share_its_transaction(bench: Bench) -> None:
    tickets = await bench.tickets(3)
    bad = group_json(tickets[0], (0.0, 1.0)).replace(RUN.encode(), b"rl-nobody")
    results = await asyncio.gather(
        bench.push(tickets[0]), bench.buffer.push(bad), bench.push(tickets[1]), return_exceptions=True
    )
    assert results[0] == results[2] == (2, 0)
    assert isinstance(results[1], NotFound)


async def test_a_late_push_is_taken_only_while_a_slot_is_free(bench: Bench) -> None:
    late = await bench.tickets(4)
    bench.pass_time(61)
    fresh = await bench.tickets(3)
    assert [g.sequence for g in fresh] == [4, 5, 6]
    assert await bench.push(late[0]) == (2, 0)
    with pytest.raises(Conflict) as refused:
        await bench.push(late[1])
    assert refused.value.code == "ticket_expired"


async def test_an_expired_lease_returns_its_groups_and_is_fenced_by_the_next(bench: Bench) -> None:
    tickets = await bench.tickets(4)
    for ticket in tickets[:2]:
        await bench.push(ticket)
    first, groups = await bench.lease(2, lease_s=10)
    assert first is not None and await bench.lease(2) == (None, [])
    bench.pass_time(11)
    second, again = await bench.lease(2)
    assert second is not None and again == groups
    for call in (bench.publish(1, first), bench.buffer.extend(LeaseRequest(run_id=RUN, lease_id=first))):
        with pytest.raises(Conflict) as fenced:
            await call
        assert fenced.value.code == "lease_fenced"
    await bench.publish(1, second)
    await bench.publish(1, second)
    assert (await bench.buffer.stats(RUN)).consumed == 4


async def test_an_expired_lease_that_nobody_took_can_still_be_published_or_extended(bench: Bench) -> None:
    for ticket in await bench.tickets(2):
        await bench.push(ticket)
    lease_id, _ = await bench.lease(2, lease_s=10)
    assert lease_id is not None
    bench.pass_time(11)
    assert await bench.lease(3) == (None, [])  # sweeps the lease, finds too few groups
    await bench.buffer.extend(LeaseRequest(run_id=RUN, lease_id=lease_id, lease_s=10))
    assert await bench.lease(2) == (None, [])
    bench.pass_time(11)
    assert await bench.lease(3) == (None, [])
    await bench.publish(1, lease_id)
    stats = await bench.buffer.stats(RUN)
    assert (stats.size, stats.leased, stats.consumed) == (0, 0, 4)


async def test_a_released_lease_gives_its_groups_to_the_next_and_cannot_be_published(bench: Bench) -> None:
    for ticket in await bench.tickets(2):
        await bench.push(ticket)
    lease_id, groups = await bench.lease(2)
    assert lease_id is not None
    for _ in range(2):
        await bench.buffer.release(LeaseRequest(run_id=RUN, lease_id=lease_id))
    with pytest.raises(Conflict):
        await bench.publish(1, lease_id)
    assert (await bench.lease(2))[1] == groups


async def test_groups_come_back_in_ticket_order_with_the_bytes_that_were_pushed(bench: Bench) -> None:
    tickets = await bench.tickets(2)
    for ticket in reversed(tickets):
        await bench.push(ticket)
    request = SampleRequest(run_id=RUN, num_groups=2, lease_s=5)
    reply = await bench.buffer.sample(request)
    stored = [group_json(ticket, (0.0, 1.0)) for ticket in tickets]
    assert reply.endswith(b'"groups":[' + b",".join(stored) + b"]}")
    assert orjson.loads(reply)["count"] == 4


async def test_stale_groups_are_refused_at_lease_time_and_free_their_slots(bench: Bench) -> None:
    for ticket in await bench.tickets(4):
        await bench.push(ticket, version=0)
    await bench.publish(2)
    assert await bench.lease(2) == (None, [])
    stats = await bench.buffer.stats(RUN)
    assert (stats.stale, stats.size) == (8, 0)
    assert len(await bench.tickets(10)) == 4


async def test_a_waiting_sample_is_answered_by_the_push_that_completes_it(bench: Bench) -> None:
    tickets = await bench.tickets(2)
    waiting = asyncio.create_task(bench.lease(2, wait_s=5))
    await bench.push(tickets[0])
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await bench.push(tickets[1])
    _, groups = await asyncio.wait_for(waiting, 1)
    assert len(groups) == 2


async def test_single_trajectories_are_sampled_oldest_first_and_once(bench: Bench) -> None:
    for i in range(3):
        row = {"run_id": RUN, "problem_id": "p", "prompt": "\x00?", "code": "x", "reward": 0.5, "step_n": i}
        for expected in ((1, 0), (0, 1)):
            reply = await bench.buffer.push(orjson.dumps(row | {"trajectory_id": f"tr-{i}"}))
            assert (reply.accepted, reply.duplicates) == expected
    assert (await bench.buffer.stats(RUN)).size == 3
    seen = [
        orjson.loads(await bench.buffer.sample(SampleRequest(run_id=RUN, batch_size=2)))["trajectories"]
        for _ in range(3)
    ]
    assert [[t["step_n"] for t in batch] for batch in seen] == [[0, 1], [2], []]
    assert sorted(seen[0][0]) == sorted(
        ["id", "run_id", "problem_id", "prompt", "code", "reward", "done", "step_n", "created_at"]
    )


async def test_evaluation_shares_with_training_and_survives_a_lost_ticket(bench: Bench) -> None:
    train = await bench.tickets(1)
    async with bench.database.write() as connection:
        for _ in range(2):
            await bench.buffer.plan_evaluation(connection, RUN, 0, [Draw("h0", 1), Draw("h1", 2)])
    lost = await bench.tickets(1)
    assert [(g.purpose, g.problem_id) for g in lost] == [("eval", "h0")]
    assert [g.purpose for g in await bench.tickets(1)] == ["train"]  # one evaluation group is its share of four
    (other,) = await bench.tickets(5)
    assert other.purpose == "eval"  # beyond its share, with what training cannot use
    assert await bench.tickets(1) == []
    await bench.push(other, 1.0, 1.0)
    bench.pass_time(61)
    (again, *_) = await bench.tickets(5)
    assert again.group_id == lost[0].group_id
    await bench.push(again, 0.0, 0.5)
    async with bench.database.read() as connection:
        (count,) = await bench.buffer.evaluation_counts(connection, RUN)
    assert (count.num_done, count.num_episodes, count.reward_sum) == (2, 4, 2.5)
    assert (await bench.buffer.stats(RUN)).pushed == 0
    assert train[0].purpose == "train"


async def test_after_stop_training_only_evaluation_is_played(bench: Bench) -> None:
    async with bench.database.write() as connection:
        await bench.buffer.stop_training(connection, RUN)
        await bench.buffer.plan_evaluation(connection, RUN, 3, [Draw("h0", 1)])
    assert [g.purpose for g in await bench.tickets(2)] == ["eval"]
    assert await bench.tickets(2) == []


async def test_training_goes_on_during_an_evaluation_as_far_as_staleness_allows(bench: Bench) -> None:
    """The evaluated version is served meanwhile, so each newer version takes a batch of slots."""
    async with bench.database.write() as connection:
        await bench.buffer.plan_evaluation(connection, RUN, 0, [Draw("h0", 1)])
    (evaluation, *train) = await bench.tickets(5)
    assert [g.purpose for g in train] == ["train"] * 2
    for ticket in train:
        await bench.push(ticket, version=0)
    lease_id, groups = await bench.lease(2)
    assert lease_id is not None and len(groups) == 2, "an evaluation does not stop the trainer"
    await bench.publish(1, lease_id)
    assert await bench.tickets(9) == [], "sampled by version 0, it would be too old when its turn comes"
    assert (await bench.buffer.stats(RUN)).stale == 0
    await bench.push(evaluation, 1.0, 0.0)
    assert [g.min_version for g in await bench.tickets(9)] == [0, 0, 1, 1], "whoever is last waits for the swap"
