"""Random schedules of worker, trainer and failures against the promises of the buffer, on a real SQLite file."""

import asyncio
from pathlib import Path

from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from skyscale.buffer import queries
from skyscale.buffer.queries import GroupRow
from skyscale.buffer.service import BufferService
from skyscale.buffer.tally_queries import Tally
from skyscale.errors import Conflict
from skyscale.events.service import EventLog
from skyscale.store.engine import Database
from skyscale.store.tables import metadata
from skyscale.wire.base import new_id
from skyscale.wire.batches import LeaseRequest
from tests.service.buffer_bench import RUN, Bench, spec

NAMES = ["play"] * 4 + ["lease"] * 3 + ["publish"] * 3 + ["tickets", "push", "push"]
NAMES += ["push_flat", "push_again", "ack", "expire", "trainer_crash", "restart"]
STEPS = st.tuples(st.sampled_from(NAMES), st.integers(0, 9))
TABLES = [table for table in metadata.sorted_tables if table.name.startswith(("buffer", "event"))]


class Schedule:
    """Plays random steps of worker, trainer and failures, and remembers what was promised."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.newest = 0
        self.open: list[GroupRow] = []
        self.stored: dict[str, tuple[GroupRow, int]] = {}
        self.leases: list[tuple[str, list[str]]] = []
        self.acked: list[str] = []
        self.trained: list[str] = []
        self.tally = Tally(settled_at_once=1)

    async def tickets(self, number: int) -> None:
        self.open += await self.bench.tickets(1 + number % 4)

    async def play(self, which: int) -> None:
        await self.tickets(which)
        for _ in range(len(self.open) - which % 2):
            await self.push(which)

    async def push(self, which: int) -> None:
        await self._push(which, (0.0, 1.0))

    async def push_flat(self, which: int) -> None:
        await self._push(which, (1.0, 1.0))

    async def _push(self, which: int, rewards: tuple[float, ...]) -> None:
        if not self.open:
            return
        ticket = self.open.pop(which % len(self.open))
        version = min(self.newest, ticket.version + which % 2)
        try:
            assert await self.bench.push(ticket, *rewards, version=version) == (2, 0)
        except Conflict as refused:
            assert refused.code == "ticket_expired"
            return
        self.stored[ticket.group_id] = (ticket, version)

    async def push_again(self, which: int) -> None:
        if self.stored:
            ticket, _ = list(self.stored.values())[which % len(self.stored)]
            assert await self.bench.push(ticket) == (0, 2)

    async def lease(self, _: int) -> None:
        lease_id, groups = await self.bench.lease(2, lease_s=30)
        if lease_id is not None:
            self.leases.append((lease_id, groups))

    async def ack(self, _: int) -> None:
        if self.leases:
            lease_id, groups = self.leases.pop(0)
            try:
                await self.bench.buffer.ack(LeaseRequest(run_id=RUN, lease_id=lease_id))
            except Conflict:
                self.leases.clear()  # fenced: this trainer starts again
                return
            self.acked += groups

    async def publish(self, _: int) -> None:
        lease = self.leases.pop(0) if self.leases and not self.acked else None
        try:
            await self.bench.publish(self.newest + 1, *([lease[0]] if lease else []))
        except Conflict as fenced:
            assert fenced.code == "lease_fenced"
            self.leases.clear()
            return
        for group_id in (lease[1] if lease else []) + self.acked:
            lag = self.newest - self.stored[group_id][1]
            assert lag <= 1, f"{group_id} was {lag} versions old when it was trained on"
            self.trained.append(group_id)
        self.acked.clear()
        self.newest += 1

    async def expire(self, _: int) -> None:
        self.bench.pass_time(61)

    async def trainer_crash(self, _: int) -> None:
        self.leases.clear()

    async def restart(self, _: int) -> None:
        self.bench.buffer = BufferService(self.bench.database, EventLog(self.bench.database), lambda: self.bench.now)

    async def check(self) -> None:
        async with self.bench.database.read() as connection:
            assert await queries.num_holding_slots(connection, RUN) <= 4
            rows = await queries.load_payloads(connection, list(self.stored))
            assert await self.tally.count(connection, RUN) == await Tally().count(connection, RUN), "what was summed up"
        assert rows.keys() == self.stored.keys(), "a push that was acknowledged is on disk"
        assert len(self.trained) == len(set(self.trained)), "no group is trained on twice"


STRAGGLER = [
    ("tickets", 3), ("push", 1), ("push", 1), ("lease", 0), ("publish", 0), ("tickets", 1), ("push", 1), ("push", 1),
    ("lease", 0), ("push", 0), ("push", 0), ("lease", 0), ("publish", 0), ("publish", 0),
]  # fmt: skip
"""The first ticket is pushed last and would be prefetched while another batch is leased: one version too late."""


@settings(max_examples=30, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(steps=STRAGGLER)
@given(steps=st.lists(STEPS, min_size=15, max_size=30))
def test_no_schedule_loses_a_push_trains_twice_overfills_or_trains_on_stale_groups(
    tmp_path: Path, steps: list[tuple[str, int]]
) -> None:
    async def play() -> None:
        database = Database(f"sqlite+aiosqlite:///{tmp_path / new_id('db')}")
        async with database.write() as connection:
            await connection.run_sync(metadata.create_all, tables=TABLES)
        bench = Bench(database)
        await bench.open(spec())
        schedule = Schedule(bench)
        for name, argument in steps:
            await getattr(schedule, name)(argument)
            await schedule.check()
        event(f"{len(schedule.trained) // 2} batches trained")
        await database.close()

    asyncio.run(play())
