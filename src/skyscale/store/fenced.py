"""The database as a leader uses it: whatever it writes begins with the proof that it still leads.

The proof shares a lock on the leader's row until the transaction ends, so a successor's term begins after it.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection

from skyscale.errors import Unavailable
from skyscale.store import replica_rows
from skyscale.store.engine import AsyncConnection, Database

T = TypeVar("T")


class FencedDatabase(Database):
    """Shares everything with the database that it was made of; belongs to one office."""

    def __init__(self, database: Database, office: str, token: Callable[[], int | None]) -> None:
        """`token` is of the current term, None when another leads."""
        self._inner = database
        self._office = office
        self._token = token
        self.url, self.is_sqlite, self.engine = database.url, database.is_sqlite, database.engine

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """One transaction of the leader's. Raises Unavailable `leadership_lost`."""
        token = self._current()
        async with self._inner.write() as connection:
            if not await replica_rows.holds(connection, self._office, token):
                raise _lost()
            yield connection

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """One transaction of synchronous statements. Raises Unavailable `leadership_lost`."""
        token = self._current()

        def fenced(connection: Connection) -> T:
            if not replica_rows.holds_now(connection, self._office, token):
                raise _lost()
            return work(connection)

        return await self._inner.transact(fenced)

    async def write_at_once(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]]) -> T:
        """`write()` for hot paths. Raises Unavailable `leadership_lost`."""
        token = self._current()

        async def fenced(connection: AsyncConnection) -> T:
            if not await replica_rows.holds(connection, self._office, token):
                raise _lost()
            return await work(connection)

        return await self._inner.write_at_once(fenced)

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A connection for reading, which proves nothing."""
        async with self._inner.read() as connection:
            yield connection

    async def read_at_once(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]]) -> T:
        """`read()` for what is looked at again and again."""
        return await self._inner.read_at_once(work)

    def after_commit(self, connection: AsyncConnection, callback: Callable[[], None]) -> None:
        """Call back once the `write()` block of this connection has committed."""
        self._inner.after_commit(connection, callback)

    async def answers(self, within_s: float = 2.0) -> bool:
        """Whether the database answers."""
        return await self._inner.answers(within_s)

    async def close(self) -> None:
        """Close the database that this was made of."""
        await self._inner.close()

    def _current(self) -> int:
        token = self._token()
        if token is None:
            raise _lost()
        return token


def _lost() -> Unavailable:
    return Unavailable("another control plane leads now", code="leadership_lost", hint="It goes on with this.")
