"""Deletes old content by the retention rule: a few groups per transaction, with pauses, never in a hurry.

A crash between two transactions leaves nothing half done; the next sweep goes on. What a sweep has passed it does not
look at again before the next full one, so its cost follows what is new and not what was ever played.
"""

import asyncio
import logging
from datetime import datetime

from skyscale.rollouts import queries
from skyscale.rollouts.rules import Retention
from skyscale.store.engine import Database
from skyscale.store.uninterrupted import to_its_end
from skyscale.wire.episodes import Purpose

log = logging.getLogger(__name__)
SWEEP_S = 20.0
BATCH = 100
PAUSE_S = 0.02
"""Between two transactions, so that pushes are never far from the write lock."""
FULL_EVERY = 100
"""Sweeps between two that look at everything again: some groups settle long after they were pushed."""


class Sweeper:
    """One loop for all runs."""

    def __init__(self, database: Database, retention: Retention) -> None:
        self._database = database
        self._retention = retention
        self._passed: dict[tuple[str, Purpose], datetime] = {}
        self._sweeps = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Sweep until `stop`."""
        self._task = asyncio.create_task(self._keep_sweeping(), name="rollout sweeper")

    async def stop(self) -> None:
        """End after the transaction at hand."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def sweep(self) -> int:
        """Delete all content that the rule gives up now; how many groups lost theirs."""
        if self._sweeps % FULL_EVERY == 0:
            self._passed.clear()
        self._sweeps += 1
        async with self._database.read() as connection:
            run_ids = await queries.run_ids(connection)
        return sum([await self._sweep_run(run_id, purpose) for run_id in run_ids for purpose in Purpose])

    async def _sweep_run(self, run_id: str, purpose: Purpose) -> int:
        async with self._database.read() as connection:
            until = await queries.keep_until(connection, run_id, purpose, self._retention.keep)
        num_deleted = 0
        while until is not None:
            since = self._passed.get((run_id, purpose))
            async with self._database.read() as connection:
                span = (since, until)
                found = await queries.sweepable(connection, run_id, purpose, span, self._retention, BATCH)
            if found:
                ids = [group_id for group_id, _ in found]
                deleting = self._database.transact(lambda connection, ids=ids: queries.delete_content(connection, ids))
                num_deleted += await to_its_end(deleting)
                await asyncio.sleep(PAUSE_S)
            if len(found) < BATCH:
                self._passed[run_id, purpose] = until
                break
            self._passed[run_id, purpose] = found[-1][1]
        return num_deleted

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep()
            except Exception:
                log.exception("sweeping old rollouts failed; the next sweep tries again")
