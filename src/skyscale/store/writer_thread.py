"""A thread with a synchronous SQLite connection of its own, for transactions and looks of many small statements.

The async driver passes every cursor, execute, fetch and close from thread to thread; a whole transaction in one thread
costs one passage instead of dozens, which is what bounds pushes per second on a busy machine.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, event

T = TypeVar("T")


class WriterThread:
    """Runs one transaction at a time, whose caller holds the database's writer lock, or one look at a time."""

    def __init__(
        self, url: str, prepare: Callable[..., None], json_serializer: Callable[[Any], str], name: str
    ) -> None:
        self._engine = create_engine(url.replace("+aiosqlite", ""), json_serializer=json_serializer)
        event.listen(self._engine, "connect", prepare)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """The result of `work` inside a transaction that is on disk when this returns."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    async def look(self, work: Callable[[Connection], T]) -> T:
        """The result of `work`, which only reads."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._look, work)

    def _look(self, work: Callable[[Connection], T]) -> T:
        with self._engine.connect() as connection:
            return work(connection)

    def _transact(self, work: Callable[[Connection], T]) -> T:
        with self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            result = work(connection)
            connection.commit()
            return result

    async def close(self) -> None:
        """Close the connection, in the thread that opened it."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
        self._thread.shutdown()
