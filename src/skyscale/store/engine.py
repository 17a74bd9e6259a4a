"""One database, opened once: short write transactions, one at a time on SQLite, and reads that never wait for them.

- `write()` is one transaction: it commits when the block ends and rolls back when it raises. On SQLite it begins with
  the write lock (BEGIN IMMEDIATE), so two writers queue instead of failing half way.
- `read()` is never committed; `read_at_once()` is the same for loops that look several times a second.
- Nothing calls out to the network inside either.
- A committed SQLite transaction is on disk: WAL with synchronous=FULL, one fsync per commit.
- What must happen only if a transaction committed (waking a waiter) is handed to `after_commit`.
- A cancelled block gives its connection back; after `close` nothing opens another one.
- A database that is away (stopped, restarting, full, locked) is `Unavailable`, which callers repeat.
- What a database cannot hold (U+0000 in PostgreSQL, huge numbers) is the caller's mistake (`Invalid`), never a 500.
  Documents and columns of type `LongText` have such characters replaced instead, because a model may write anything.
"""

import asyncio
import json
import math
import re
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from skyscale.errors import Unavailable
from skyscale.store.straight import StraightConnection, run_straight
from skyscale.store.troubles import away, troubles_are_told
from skyscale.store.writer_thread import WriterThread

T = TypeVar("T")
BUSY_TIMEOUT_MS = 10_000
"""How long a SQLite connection waits for another process's write before it fails."""
BEATEN = {"40P01", "40001"}
"""SQLSTATEs of a deadlock and of a serialization failure: the same transaction may succeed the next time."""
MOST_DEADLOCKS = 3
POSTGRES = {
    "timeout": 10,
    "server_settings": {"idle_in_transaction_session_timeout": "30s", "tcp_user_timeout": "20000"},
}
"""A control plane that vanishes in a transaction, host and all, does not hold its locks for longer than this."""
CLOSE_WAIT_S = 10.0
"""How long `close` waits for blocks that are under way."""
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_ESCAPED_SURROGATE = re.compile(r"(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}")


class Database:
    """The engine and its two kinds of block."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self.engine: AsyncEngine = create_async_engine(
            url, pool_size=8, max_overflow=8, pool_timeout=30, json_serializer=_to_json,
            connect_args={} if self.is_sqlite else POSTGRES,
        )  # fmt: skip
        self._writer = asyncio.Lock()
        self._num_open = 0
        self._is_closed = False
        self._none_open = asyncio.Event()
        self._probes: set[asyncio.Task[bool]] = set()
        self._callbacks: dict[AsyncConnection, list[Callable[[], None]]] = {}
        self._thread, self._looker = (
            WriterThread(url, _prepare_sqlite, _to_json, name) if self.is_sqlite else None
            for name in ("skyscale-writer", "skyscale-looker")
        )
        if self.is_sqlite:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """One transaction that commits at the end of the block."""
        callbacks: list[Callable[[], None]] = []
        async with self._begin() as connection:
            self._callbacks[connection] = callbacks
            try:
                yield connection
            finally:
                self._callbacks.pop(connection, None)
        for callback in callbacks:
            callback()

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """One transaction of synchronous statements, without network or waits in it: the fast way for hot paths.

        On SQLite it runs in a thread of its own; the result comes back when it is on disk.
        """
        if self._thread is None:
            return await self._transact_again_if_beaten(work)
        with self._under_way(), troubles_are_told():
            async with self._writer:
                return await self._thread.transact(work)

    async def write_at_once(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]]) -> T:
        """`write()` for hot paths: `work` may await nothing but statements on its connection.

        On SQLite all of it runs in the writer's thread in one passage; callbacks run here, after the commit.
        """
        if self._thread is None:
            return await self._write_again_if_beaten(work)
        callbacks: list[Callable[[], None]] = []

        def straight(sync: Connection) -> T:
            connection = _straight(sync)
            self._callbacks[connection] = callbacks
            try:
                return run_straight(work(connection))
            finally:
                del self._callbacks[connection]

        result = await self.transact(straight)
        for callback in callbacks:
            callback()
        return result

    async def _transact_again_if_beaten(self, work: Callable[[Connection], T]) -> T:
        for _ in range(MOST_DEADLOCKS):
            try:
                async with self._connected() as connection, connection.begin():
                    return await connection.run_sync(work)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in BEATEN:
                    raise
        async with self._connected() as connection, connection.begin():
            return await connection.run_sync(work)

    async def _write_again_if_beaten(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]]) -> T:
        # PostgreSQL ends one of two transactions that wait for each other; that one has changed nothing.
        for _ in range(MOST_DEADLOCKS):
            try:
                async with self.write() as connection:
                    return await work(connection)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in BEATEN:
                    raise
        async with self.write() as connection:
            return await work(connection)

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A connection for reading; changes made through it are rolled back."""
        async with self._connected() as connection:
            yield connection

    async def read_at_once(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]]) -> T:
        """`read()` for what is looked at again and again: `work` may await nothing but statements on its connection.

        On SQLite all of it runs in a thread in one passage, beside what is being written.
        """
        if self._looker is None:
            async with self.read() as connection:
                return await work(connection)
        with self._under_way(), troubles_are_told():
            return await self._looker.look(lambda sync: run_straight(work(_straight(sync))))

    def after_commit(self, connection: AsyncConnection, callback: Callable[[], None]) -> None:
        """Call back once the `write()` block of this connection has committed; never if it rolls back."""
        self._callbacks[connection].append(callback)

    async def answers(self, within_s: float = 2.0) -> bool:
        """Whether the database answers a trivial question in time."""
        probe = asyncio.create_task(self._probe())
        self._probes.add(probe)
        probe.add_done_callback(self._probes.discard)
        # Not cancelled when it is late: it ends by itself, and gives its connection back.
        await asyncio.wait({probe}, timeout=within_s)
        return probe.done() and probe.result()

    async def _probe(self) -> bool:
        try:
            async with self.read() as connection:
                await connection.exec_driver_sql("SELECT 1")
        except (OSError, TimeoutError, SQLAlchemyError, Unavailable):
            return False
        return True

    async def close(self) -> None:
        """Close every connection, when the blocks that are under way have ended."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._num_open:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._none_open.wait(), CLOSE_WAIT_S)
        for thread in (self._thread, self._looker):
            if thread is not None:
                await thread.close()
        await self.engine.dispose()

    @asynccontextmanager
    async def _begin(self) -> AsyncGenerator[AsyncConnection]:
        if not self.is_sqlite:
            async with self._connected() as connection, connection.begin():
                yield connection
            return
        async with self._writer, self._connected() as connection:
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            await connection.commit()

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[AsyncConnection]:
        """A connection of the pool, given back whatever happens."""
        with self._under_way(), troubles_are_told():
            try:
                connection = await self._open()
            except OSError as error:  # what the driver raises when nobody listens, or does not answer in time
                raise away(error) from error
            try:
                yield connection
            finally:
                await connection.close()

    @contextmanager
    def _under_way(self) -> Generator[None]:
        if self._is_closed:
            raise Unavailable("the database is closed: this process is stopping")
        self._num_open += 1
        self._none_open.clear()
        try:
            yield
        finally:
            self._num_open -= 1
            if self._num_open == 0:
                self._none_open.set()

    async def _open(self) -> AsyncConnection:
        # A driver that is cancelled in the middle of connecting leaves a connection that nobody closes.
        opening = asyncio.ensure_future(self.engine.connect().start())
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait({opening})
            if opening.exception() is None:
                await opening.result().close()
            raise


def _straight(connection: Connection) -> AsyncConnection:
    return cast(AsyncConnection, StraightConnection(connection))


def _to_json(value: object) -> str:
    """ASCII JSON that both databases accept: NUL and unpaired surrogates become U+FFFD, NaN and infinity null."""
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), separators=(",", ":"))
    if "\\u0000" in text:
        text = _ESCAPED_NUL.sub(r"\1\\ufffd", text)
    if "\\ud" in text and not _is_unicode(value):
        text = _ESCAPED_SURROGATE.sub(r"\1\\ufffd", text)
    return text


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in cast("dict[str, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in cast("list[object]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_unicode(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # Autocommit mode of the driver: our BEGIN IMMEDIATE is the only one, and reads hold no lock.
    connection.isolation_level = None  # pyright: ignore[reportAttributeAccessIssue]
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.close()
