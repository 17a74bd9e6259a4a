"""One of several control planes leads, on both databases."""

import asyncio

import pytest
from sqlalchemy import text

from skyscale.errors import Unavailable
from skyscale.store import leadership, replica
from skyscale.store.engine import Database
from skyscale.store.leadership import Leadership


class Candidate:
    """A control plane that notes its terms; its clock and its looks are the test's."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leadership, "LOOK_S", 3600.0)
        self.now = 0.0
        self.terms: list[str] = []
        self.part = Leadership(database, lambda: "http://here", lambda: self.now)
        self.part.on_gain, self.part.on_loss = self._gained, self._lost

    async def _gained(self, is_predecessor_dead: bool) -> None:
        self.terms.append("began" if is_predecessor_dead else "began beside a predecessor")

    async def _lost(self) -> None:
        self.terms.append("ended")

    async def look(self, after_s: float = 0.0) -> None:
        self.now += after_s
        await self.part._look()  # pyright: ignore[reportPrivateUsage] - what its loop does every second


async def test_the_first_leads_and_the_second_when_the_first_has_left(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Candidate(database, monkeypatch), Candidate(database, monkeypatch)
    await first.part.start()
    await second.part.start()
    for _ in range(20):
        await first.look(1.0)
        await second.look(1.0)
    assert (first.terms, second.terms) == (["began"], [])
    assert first.part.token == 1
    assert not await first.part.leave(), "another lives"
    await first.part.resign()
    await second.look()
    assert second.terms == ["began"]
    assert second.part.token == 2
    assert await second.part.leave(), "it is the last"
    await second.part.resign()


async def test_a_leader_that_stands_still_is_succeeded_and_writes_nothing_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.is_sqlite:
        pytest.skip("on SQLite all are on one host, where a living process leads however slow it is")
    first, second = Candidate(database, monkeypatch), Candidate(database, monkeypatch)
    await first.part.start()
    await second.part.start()
    fenced = first.part.fenced()
    async with fenced.write() as connection:
        await connection.execute(text("INSERT INTO event_counters (run_id, seq) VALUES ('kept', 1)"))
    for _ in range(9):
        await second.look(1.0)
    assert second.terms == ["began beside a predecessor"]
    with pytest.raises(Unavailable, match="another control plane leads"):
        async with fenced.write() as connection:
            await connection.execute(text("INSERT INTO event_counters (run_id, seq) VALUES ('lost', 1)"))
    with pytest.raises(Unavailable):
        await fenced.transact(lambda connection: connection.execute(text("DELETE FROM event_counters")))
    async with database.read() as connection:
        assert list((await connection.execute(text("SELECT run_id FROM event_counters"))).scalars()) == ["kept"]
    await first.look(1.0)
    assert first.terms == ["began", "ended"]
    assert first.part.token is None
    with pytest.raises(Unavailable):
        async with fenced.write():
            pass


async def test_a_change_of_the_leader_waits_for_what_the_old_one_writes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer")
    first, second = Candidate(database, monkeypatch), Candidate(database, monkeypatch)
    await first.part.start()
    await second.part.start()
    await second.look(1.0)
    async with first.part.fenced().write():
        taking_over = asyncio.create_task(second.look(leadership.LEASE_S + 1))
        await asyncio.sleep(0.2)
        assert second.part.token is None
    await taking_over
    assert second.part.token == 2


async def test_a_leader_whose_process_is_gone_is_succeeded_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Candidate(database, monkeypatch), Candidate(database, monkeypatch)
    await first.part.start()
    replica.retire(first.part.name)  # as if its process had been killed
    await second.part.start()
    assert second.terms == ["began"]
    assert await second.part.leave(), "the dead do not count"


async def test_of_two_that_leave_at_once_exactly_one_is_the_last(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [Candidate(database, monkeypatch) for _ in range(2)]
    for each in both:
        await each.part.start()

    async def leave(part: Leadership) -> bool:
        is_last = await part.leave()
        await part.resign()
        return is_last

    assert sorted(await asyncio.gather(*(leave(each.part) for each in both))) == [False, True]


async def test_a_term_whose_begin_fails_is_begun_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    only = Candidate(database, monkeypatch)
    gained, tries = only.part.on_gain, 0

    async def fails_once(is_predecessor_dead: bool) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise RuntimeError("the provider does not answer")
        await gained(is_predecessor_dead)

    only.part.on_gain = fails_once
    with pytest.raises(RuntimeError):
        await only.look()
    assert only.terms == ["ended"]
    await only.look()
    assert (only.terms, only.part.token) == (["ended", "began beside a predecessor"], 2), "old locks lapse"


def test_a_name_of_another_process_is_dead_only_when_it_can_be_known() -> None:
    name = replica.own_name()
    place, pid, _ = name.rsplit(":", 2)
    assert not replica.is_known_dead(name)
    assert replica.is_known_dead(f"{place}:{pid}:cp-before"), "its process number was given to this one"
    assert replica.is_known_dead(f"{place}:4194305:cp-x"), "there is no such process"
    assert not replica.is_known_dead("elsewhere-1:4194305:cp-x")
