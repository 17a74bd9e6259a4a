"""Writes executions that have ended, many in one transaction, so that no caller waits for the disk.

- A failed transaction is tried again with the next one. It may have been committed all the same, its answer lost: what
  is there already is left alone.
- A transaction that has begun goes to its end, whoever asked for it gives up; then what was written is known.
- What still waits when the control plane stops is written then.
"""

import asyncio
import logging
from collections.abc import Callable

from skyscale.functions.calls import queries
from skyscale.functions.calls.queries import Execution
from skyscale.store.engine import Database
from skyscale.store.uninterrupted import to_its_end

log = logging.getLogger(__name__)
PAUSE_S = 0.05
"""Between transactions: executions that end meanwhile share the next one."""


class Writer:
    """One task that writes, and the rows that wait for it."""

    def __init__(self, database: Database, on_written: Callable[[list[Execution]], None]) -> None:
        self._database = database
        self._on_written = on_written
        self._waiting: dict[str, tuple[Execution, bool]] = {}
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write_for_ever(), name="function writer")

    async def stop(self) -> None:
        """Write what waits, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()

    def put(self, row: Execution, *, is_new: bool) -> None:
        """Have a row written that nobody changes any more."""
        self._waiting[row.execution_id] = row, is_new
        self._wake.set()

    async def flush(self) -> None:
        """Return when everything that waits now is written."""
        await to_its_end(self._flush())

    async def _flush(self) -> None:
        async with self._lock:
            waiting, self._waiting = self._waiting, {}
            if not waiting:
                return
            try:
                await self._write(list(waiting.values()))
            except BaseException:
                self._waiting = waiting | self._waiting
                raise
            self._on_written([row for row, _ in waiting.values()])

    async def _write(self, waiting: list[tuple[Execution, bool]]) -> None:
        async with self._database.write() as connection:
            new = [row for row, is_new in waiting if is_new]
            if new:
                await queries.insert_ended(connection, new)
            for row, is_new in waiting:
                if not is_new:
                    await queries.save(connection, row)

    async def _write_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(PAUSE_S)
            self._wake.clear()
            try:
                await self.flush()
            except Exception:
                log.exception("executions could not be written; the next attempt has them too")
                self._wake.set()
                await asyncio.sleep(1.0)
