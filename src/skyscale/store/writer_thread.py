"""A thread with a synchronous SQLite connection of its own, for transactions and looks of many small statements.

The async driver passes every cursor, execute, fetch and close from thread to thread; a whole transaction in one thread
costs one passage instead of dozens, which is what bounds pushes per second on a busy machine.

- The passage is a queue that one thread reads and a callback into the loop: an executor's futures, with a lock and a
  condition each, cost as much as the statements.
- The connection stays open between transactions; one that failed is given up, and the next one begins afresh.
- Work whose caller was cancelled before its turn is not done; once begun, it is done to its end.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, event

T = TypeVar("T")
_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class WriterThread:
    """Runs one transaction at a time, whose caller holds the database's writer lock, or one look at a time."""

    def __init__(
        self, url: str, prepare: Callable[..., None], json_serializer: Callable[[Any], str], name: str
    ) -> None:
        self._engine = create_engine(url.replace("+aiosqlite", ""), json_serializer=json_serializer)
        event.listen(self._engine, "connect", prepare)
        self._name = name
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._open: Connection | None = None

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """The result of `work` inside a transaction that is on disk when this returns."""
        return await self._pass(lambda: self._transact(work))

    async def look(self, work: Callable[[Connection], T]) -> T:
        """The result of `work`, which only reads."""
        return await self._pass(lambda: self._look(work))

    async def close(self) -> None:
        """Close the connection, in the thread that opened it."""
        await self._pass(self._shut)
        self._queue.put(None)
        self._thread = None

    def _pass(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        if self._thread is None:
            # A daemon: a process that ends without `close` is not held up, and what it had not committed never was.
            self._thread = Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[T] = loop.create_future()
        self._queue.put((loop, reply, work))
        return reply

    def _serve(self) -> None:
        while (job := self._queue.get()) is not None:
            loop, reply, work = job
            if reply.cancelled():
                del job, reply, work
                continue
            result, error = None, None
            try:
                result = work()
            except BaseException as raised:  # noqa: BLE001 - it is the caller's, whatever it is
                error = raised
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
                loop.call_soon_threadsafe(_answer, reply, result, error)
            del job, reply, work, result, error  # a thread that waits keeps nothing alive

    def _look(self, work: Callable[[Connection], T]) -> T:
        connection = self._connection()
        try:
            result = work(connection)
            if connection.in_transaction():  # as SQLAlchemy sees it; in SQLite there is none
                connection.rollback()
        except BaseException:
            self._give_up(connection)
            raise
        return result

    def _transact(self, work: Callable[[Connection], T]) -> T:
        connection = self._connection()
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            result = work(connection)
            connection.commit()
        except BaseException:
            self._give_up(connection)
            raise
        return result

    def _give_up(self, connection: Connection) -> None:
        self._open = None
        connection.close()  # rolls back

    def _connection(self) -> Connection:
        if self._open is None:
            self._open = self._engine.connect()
        return self._open

    def _shut(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
        self._engine.dispose()


def _answer(reply: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if reply.cancelled():
        return
    if error is None:
        reply.set_result(result)
    else:
        reply.set_exception(error)
