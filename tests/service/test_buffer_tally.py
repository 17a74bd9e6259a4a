"""Counts that skip what can no longer change are those of a count of everything."""

import random

from skyscale.buffer.queries import GroupRow
from skyscale.buffer.rules import GroupState
from skyscale.buffer.tally_queries import Counts, Tally
from tests.service.buffer_bench import RUN, Bench


async def counted(bench: Bench, tally: Tally) -> Counts:
    async with bench.database.read() as connection:
        return await tally.count(connection, RUN)


async def play(bench: Bench, rng: random.Random, version: int) -> list[GroupRow]:
    """One version's life: some groups are flat, one is lost; returns those that were not pushed."""
    lost: list[GroupRow] = []
    while len(tickets := await bench.tickets(4)):
        for ticket in tickets:
            kind = rng.choice(["good", "good", "flat", "lost"])
            if kind == "lost" and len(lost) < 1:
                lost.append(ticket)
            else:
                await bench.push(ticket, *((0.5, 0.5) if kind == "flat" else (0.0, 1.0)), version=version)
    lease_id, _ = await bench.lease(2)
    assert lease_id is not None
    await bench.publish(version + 1, lease_id)
    return lost


async def test_the_counts_are_those_of_all_groups_whatever_became_of_them(bench: Bench) -> None:
    rng, sparing = random.Random(4), Tally(settled_at_once=1)
    lost: list[GroupRow] = []
    for version in range(12):
        lost += await play(bench, rng, version)
        assert await counted(bench, sparing) == await counted(bench, Tally())
        bench.pass_time(61)
    await bench.tickets(1)  # the tickets of lost groups end
    before = await counted(bench, sparing)
    assert before == await counted(bench, Tally())
    assert before[GroupState.EXPIRED][0] >= 2 and before[GroupState.CONSUMED][0] >= 20
    after = before
    for ticket in lost[:2]:  # long after its neighbours were summed up
        await bench.push(ticket, 0.5, 0.5, version=ticket.version)
        after = await counted(bench, sparing)
        assert after == await counted(bench, Tally())
        assert await counted(bench, sparing) == after
    assert after[GroupState.FLAT][0] == before.get(GroupState.FLAT, (0, 0, 0))[0] + 2
