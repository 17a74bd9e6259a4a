"""Many small writes of concurrent calls as one transaction and one fsync.

What arrives while a transaction is being written waits together for the next one; nothing waits for a timer. A caller
is answered after the commit that holds its write; a transaction that fails fails everyone in it.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from sqlalchemy import Connection

from skyscale.errors import Unavailable
from skyscale.store.engine import Database

T = TypeVar("T")
R = TypeVar("R")
MOST = 256
"""In one transaction: bounds how long the write lock is held."""
DEADLINE_S = 30.0


class GroupCommit(Generic[T, R]):
    """Collects writes of one kind."""

    def __init__(self, database: Database, work: Callable[[Connection, list[T]], list[R]]) -> None:
        """`work` writes a batch and answers each of it, in order; it awaits nothing."""
        self._database = database
        self._work = work
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, item: T) -> R:
        """The answer, once it is on disk. Raises Unavailable when the database does not take it in time."""
        reply: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, reply))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(), name="group commit")
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await reply
        except TimeoutError as error:
            raise Unavailable("the database did not take a write in time") from error

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            items = [item for item, _ in batch]
            (outcome,) = await asyncio.gather(
                self._database.transact(lambda connection, items=items: self._work(connection, items)),
                return_exceptions=True,
            )
            for index, (_, reply) in enumerate(batch):
                if reply.done():
                    continue
                if isinstance(outcome, BaseException):
                    reply.set_exception(outcome)
                else:
                    reply.set_result(outcome[index])
