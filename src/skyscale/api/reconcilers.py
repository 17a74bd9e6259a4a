"""What one control plane of several does for all of them, begun when it leads and ended when it does not.

    Leadership --gain--> begin: scheduler, coordinator, sweeper of rollouts
               --loss--> end:   the same, and every swap under way; processes of runs go on

- Each of them gets the fenced database, so what a deposed leader still has in its hands is not written.
- A control plane that stops while others live hands over and leaves the jobs alone; the last one ends the local jobs.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field

from skyscale.errors import Unavailable
from skyscale.jobs.scheduler import Scheduler
from skyscale.rollouts.sweeper import Sweeper
from skyscale.runs.coordinator import Coordinator
from skyscale.runs.swaps import Swaps
from skyscale.store.leadership import Leadership

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Reconcilers:
    """The loops of the leader."""

    leadership: Leadership
    scheduler: Scheduler
    coordinator: Coordinator
    swaps: Swaps
    sweeper: Sweeper
    _loop: asyncio.Task[None] | None = field(default=None)
    _is_shut: bool = field(default=False)

    async def start(self) -> None:
        """Join the other control planes; begin at once if none leads."""
        self.leadership.on_gain, self.leadership.on_loss = self._begin, self._end
        await self.leadership.start()

    async def shutdown(self) -> None:
        """Hand over to another control plane, or end the local jobs if there is none; again changes nothing.

        Without the database nobody can tell; then the jobs go on, as after a crash, and are adopted.
        """
        if self._is_shut:
            return
        self._is_shut = True
        try:
            is_last = await self.leadership.leave()
            await self._end()
            if is_last:
                await self.scheduler.shutdown()
            await self.leadership.resign()
        except Unavailable as error:
            log.error("the jobs are left to the next control plane: %s", error.detail)
            await self._end()

    async def _begin(self, is_predecessor_dead: bool) -> None:
        await self.scheduler.start(is_alone=is_predecessor_dead)
        await self.sweeper.start()
        self.swaps.open()
        self._loop = asyncio.create_task(self.coordinator.run(), name="coordinator")

    async def _end(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
            self._loop = None
        await self.swaps.close()
        await self.sweeper.stop()
        await self.scheduler.stop()
