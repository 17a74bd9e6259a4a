"""The event log: append inside the caller's transaction, list, and follow live.

- An event exists exactly when the change it speaks of was committed: both are in one transaction.
- `seq` rises within a run, and a smaller number never becomes visible after a larger one.
- Append last in a transaction: it locks the run's counter, and rows locked after it could deadlock on PostgreSQL.
- A follower is woken by commits of this process and polls for those of others, so several processes may share a
  database.
"""

import asyncio
from collections.abc import AsyncGenerator

from skyscale.events import queries
from skyscale.store.engine import AsyncConnection, Database
from skyscale.store.uninterrupted import to_its_end
from skyscale.wire.base import utc_now
from skyscale.wire.runs import Event

POLL_S = 0.5
"""How soon a follower sees an event that another process wrote."""
PAGE = 200
"""Events that a follower reads at once."""


class EventLog:
    """The only writer of events."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._changed: dict[str, asyncio.Event] = {}

    async def append(
        self,
        connection: AsyncConnection,
        *,
        run_id: str,
        component: str,
        kind: str,
        message: str,
        level: str = "info",
        data: dict[str, object] | None = None,
    ) -> None:
        """Record an event in the caller's transaction and wake the run's followers when it commits."""
        seq = await queries.next_seq(connection, run_id)
        await queries.insert_event(
            connection,
            run_id=run_id,
            seq=seq,
            timestamp=utc_now(),
            component=component,
            level=level,
            kind=kind,
            message=message,
            data=data or {},
        )
        self._db.after_commit(connection, lambda: self._wake(run_id))

    async def list(self, run_id: str, after_seq: int = 0, limit: int = 100) -> list[Event]:
        """At most `limit` events after a number, oldest first."""
        async with self._db.read() as connection:
            rows = await queries.select_events(connection, run_id, after_seq, limit)
        return [Event.model_validate(dict(row)) for row in rows]

    async def count(self, connection: AsyncConnection, run_id: str) -> int:
        """How many events the run has."""
        return await queries.count_events(connection, run_id)

    async def follow(self, run_id: str, after_seq: int = 0) -> AsyncGenerator[Event]:
        """Every event after a number, then each new one as it is committed; ends only by being closed."""
        while True:
            changed = self._changed.setdefault(run_id, asyncio.Event())
            page = await to_its_end(self.list(run_id, after_seq, PAGE))
            for event in page:
                after_seq = event.seq
                yield event
            if not page:
                await _wait(changed)

    def _wake(self, run_id: str) -> None:
        changed = self._changed.pop(run_id, None)
        if changed is not None:
            changed.set()


async def _wait(changed: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(POLL_S):
            await changed.wait()
    except TimeoutError:
        return
