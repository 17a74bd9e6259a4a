"""One of several control planes leads: it alone runs the reconcilers.

    follower --(no leader, it resigned, it is dead, it stood still for LEASE_S)--> leader, with a higher token
    leader   --(another token is in the row)--> follower

- A leader counts its beats in its row; a follower takes over when they stand still by the follower's own monotonic
  clock. No two clocks are ever compared, so one that jumps does no harm.
- What a leader writes, it writes through `fenced()`: the transaction first shares the leader's row and compares the
  token. A change of leadership waits for such a transaction or comes before it; a deposed leader writes nothing.
- A predecessor on the same host whose process is gone is succeeded at once.
- On SQLite all are on one host, so processes are looked at and no beats are written.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from skyscale.errors import Unavailable
from skyscale.store import replica, replica_rows
from skyscale.store.engine import AsyncConnection, Database
from skyscale.store.fenced import FencedDatabase
from skyscale.store.uninterrupted import to_its_end
from skyscale.wire.base import utc_now
from skyscale.wire.replicas import ReplicaList, ReplicaView

log = logging.getLogger(__name__)
OFFICE = "reconcilers"
LOOK_S = 1.0
LEASE_S = 8.0
"""A leader that stood still for so long is succeeded; several looks, and a slow commit or two, fit into it."""


@dataclass(slots=True)
class _Watched:
    """When a row was last seen to move."""

    mark: tuple[object, ...]
    since: float


async def _nothing() -> None:
    return


async def _no_start(_: bool) -> None:
    return


class Leadership:
    """This control plane's part in it."""

    def __init__(self, database: Database, url: Callable[[], str], clock: Callable[[], float] = time.monotonic) -> None:
        """`url` is where the others reach this one. `clock` is monotonic, in seconds."""
        self.name = replica.own_name()
        self.token: int | None = None
        """Of our term; None while another leads."""
        self.on_gain: Callable[[bool], Awaitable[None]] = _no_start
        """Begins what a leader does; told whether the predecessor's process is known to be gone."""
        self.on_loss: Callable[[], Awaitable[None]] = _nothing
        """Ends it."""
        self._db = database
        self._url = url
        self._clock = clock
        self._seen: dict[str, _Watched] = {}
        self._task: asyncio.Task[None] | None = None
        self._has_left = False

    async def start(self) -> None:
        """Join the others, lead if nobody does, and go on looking."""
        await to_its_end(self._look())
        self._task = asyncio.create_task(self._keep_looking(), name="leadership")

    async def leave(self) -> bool:
        """Stop looking and join no more; whether this was the last control plane, which then leads."""
        self._has_left = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        async with self._db.write() as connection:
            # The row is locked, so of two that leave at once one sees that it is the last.
            await replica_rows.leader(connection, OFFICE, lock=True)
            await replica_rows.remove(connection, self.name)
            others = [row for row in await replica_rows.all_of(connection) if self._is_alive(row)]
        if others:
            return False
        return self.token is not None or await self._succeed_the_one_that_leaves()

    async def _succeed_the_one_that_leaves(self) -> bool:
        """A leader that left before us ends its work and resigns, or stands still."""
        deadline = self._clock() + LEASE_S + LOOK_S
        while self._clock() < deadline:
            async with self._db.read() as connection:
                leader = await replica_rows.leader(connection, OFFICE)
            if leader is None or self._may_succeed(leader):
                await self._run_for(leader)
                return self.token is not None
            await asyncio.sleep(0.1)
        return False

    async def resign(self) -> None:
        """Let another lead at once. The reconcilers have ended."""
        token, self.token = self.token, None
        replica.retire(self.name)
        if token is not None:
            async with self._db.write() as connection:
                await replica_rows.resign(connection, OFFICE, token)

    def fenced(self) -> Database:
        """The database for the reconcilers: its writes fail with Unavailable `leadership_lost` in another's term."""
        return FencedDatabase(self._db, OFFICE, lambda: self.token)

    async def seen(self) -> ReplicaList:
        """Every control plane as this one sees it."""
        async with self._db.read() as connection:
            rows = await replica_rows.all_of(connection)
            leader = await replica_rows.leader(connection, OFFICE)
        holder = leader.holder if leader is not None else None
        return ReplicaList(
            term=leader.token if leader is not None else 0,
            replicas=[
                ReplicaView(
                    replica_id=row.replica_id, url=row.url, is_this=row.replica_id == self.name,
                    is_alive=row.replica_id == self.name or self._is_alive(row), is_leader=row.replica_id == holder,
                    leads_since=leader.since if leader is not None and row.replica_id == holder else None,
                    started_at=row.started_at, last_beat_at=None if self._db.is_sqlite else row.beat_at,
                )
                for row in rows
            ],
        )  # fmt: skip

    async def url_of(self, name: str) -> str | None:
        """Where a control plane is reached by the others; None for one that left."""
        async with self._db.read() as connection:
            return await replica_rows.url_of(connection, name)

    # -- looking -------------------------------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await to_its_end(self._look())
            except Unavailable as error:
                log.warning("the other control planes cannot be seen: %s", error.detail)
            except Exception:
                # Whoever leads goes on: without the database nobody else can take over, and writes are fenced.
                log.exception("the other control planes could not be looked at; trying again")

    async def _look(self) -> None:
        if self.token is not None and await self._is_kept():
            return
        if self.token is not None:
            log.warning("another control plane leads now")
            self.token = None
            await self.on_loss()
        async with self._db.write() as connection:
            await replica_rows.beat(connection, self.name, self._url(), utc_now())
            await self._bury(connection)
            leader = await replica_rows.leader(connection, OFFICE)
        if leader is None or self._may_succeed(leader):
            await self._run_for(leader)

    async def _is_kept(self) -> bool:
        assert self.token is not None
        if self._db.is_sqlite:
            leader = await self._db.read_at_once(lambda connection: replica_rows.leader(connection, OFFICE))
            return leader is not None and leader.token == self.token
        async with self._db.write() as connection:
            await replica_rows.beat(connection, self.name, self._url(), utc_now())
            await self._bury(connection)
            return await replica_rows.beat_as_leader(connection, OFFICE, self.token)

    async def _run_for(self, leader: replica_rows.LeaderRow | None) -> None:
        async with self._db.write() as connection:
            token = await replica_rows.succeed(connection, OFFICE, leader, self.name, utc_now())
        if token is None:
            return  # somebody else was quicker
        self.token = token
        is_dead = leader is None or leader.holder is None or self._is_dead(leader.holder)
        log.info("this control plane leads now, term %d", token)
        if not self._has_left:
            await self._begin(is_dead)

    async def _begin(self, is_predecessor_dead: bool) -> None:
        try:
            await self.on_gain(is_predecessor_dead)
        except BaseException:
            self.token = None  # the row still names us, so the next look begins a new term
            await self.on_loss()
            raise

    def _may_succeed(self, leader: replica_rows.LeaderRow) -> bool:
        if leader.holder is None or leader.holder == self.name or self._is_dead(leader.holder):
            return True
        # On SQLite a living process of this host leads.
        return not self._db.is_sqlite and self._stood_still(OFFICE, (leader.token, leader.beats))

    def _is_dead(self, name: str) -> bool:
        # Whoever had a SQLite file in another container has it no more: a file has one host.
        return replica.is_known_dead(name) or (self._db.is_sqlite and not replica.is_here(name))

    def _is_alive(self, row: replica_rows.ReplicaRow) -> bool:
        if row.replica_id == self.name or self._is_dead(row.replica_id):
            return False
        return self._db.is_sqlite or not self._stood_still(row.replica_id, (row.beats,))

    def _stood_still(self, what: str, mark: tuple[object, ...]) -> bool:
        now, seen = self._clock(), self._seen.get(what)
        if seen is None or seen.mark != mark:
            self._seen[what] = _Watched(mark, now)
            return False
        return now - seen.since > LEASE_S

    async def _bury(self, connection: AsyncConnection) -> None:
        """Remove the rows of the dead."""
        for row in await replica_rows.all_of(connection):
            if row.replica_id != self.name and not self._is_alive(row):
                await replica_rows.remove(connection, row.replica_id)
                self._seen.pop(row.replica_id, None)
