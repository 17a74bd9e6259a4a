"""A meter's loop: tick, pause, tick; a last tick when it is stopped, unless that would wait for somebody else."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from skyscale.store.uninterrupted import to_its_end

log = logging.getLogger(__name__)


class Loop:
    """Calls `tick` again and again; one that fails is made up by the next."""

    def __init__(
        self, name: str, tick: Callable[[], Awaitable[None]], pause_s: float, *, ticks_at_end: bool = True
    ) -> None:
        self._name, self._tick, self._pause_s, self._ticks_at_end = name, tick, pause_s, ticks_at_end
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tick until `stop`."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Write down what is due, and end."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        if self._ticks_at_end:
            await self._once()

    async def _run(self) -> None:
        while True:
            await to_its_end(self._once())
            await asyncio.sleep(self._pause_s)

    async def _once(self) -> None:
        try:
            await self._tick()
        except Exception:
            log.exception("%s: a tick failed; the next one, here or in another control plane, makes it up", self._name)
