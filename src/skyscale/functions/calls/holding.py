"""Which control plane holds an execution, and what becomes of those whose control plane is gone.

A queued one is taken over; a running one is lost, for it may have had effects. Holders renew a lease on their rows.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from skyscale.boxes.holder import is_gone, own_name
from skyscale.functions.calls import queries
from skyscale.functions.calls.queries import Execution
from skyscale.store.engine import Database
from skyscale.wire.functions import ExecutionStatus

log = logging.getLogger(__name__)
LEASE = timedelta(seconds=15)
RENEW_S = 5.0
KEEP_ROWS = timedelta(days=7)


class Holding:
    """This control plane as a holder of executions."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database, self._now = database, now
        self.name = own_name()

    def until(self) -> datetime:
        """How long a row that is written now is surely ours."""
        return self._now() + LEASE

    async def renew(self) -> None:
        """Keep our rows."""
        async with self._database.write() as connection:
            await queries.renew(connection, self.name, self.until())

    async def let_go(self) -> None:
        """What is still queued is anybody's at once."""
        async with self._database.write() as connection:
            await queries.renew(connection, self.name, self._now() - LEASE)

    async def adopt(self) -> tuple[list[Execution], list[Execution]]:
        """Rows that became ours to run, and rows that are lost."""
        async with self._database.read() as connection:
            gone = [row for row in await queries.open_rows(connection) if self._is_gone(row)]
        taken: list[Execution] = []
        lost: list[Execution] = []
        if not gone:
            return taken, lost
        async with self._database.write() as connection:
            for row in gone:
                if row.status is ExecutionStatus.QUEUED:
                    if await queries.take_over(connection, row, self.name, self.until()):
                        row.holder = self.name
                        taken.append(row)
                    continue
                row.status, row.ended_at = ExecutionStatus.LOST, self._now()
                row.error_message = "its control plane ended while it ran"
                await queries.save(connection, row)
                lost.append(row)
        log.info("executions of control planes that are gone: %d taken over, %d lost", len(taken), len(lost))
        return taken, lost

    async def forget(self) -> None:
        """Drop what ended long ago."""
        async with self._database.write() as connection:
            await queries.forget(connection, self._now() - KEEP_ROWS)

    def _is_gone(self, row: Execution) -> bool:
        return is_gone(row.holder, row.lease_until, own=self.name, now=self._now())
