"""Wakes calls that wait for a change in a run's buffer; other processes' changes are found by polling."""

import asyncio
from collections import defaultdict

POLL_S = 0.25
"""How long a change made by another control-plane process can go unseen."""


class Wakeup:
    """One event per run, replaced each time it rings, so a ring between look and wait is not missed."""

    def __init__(self) -> None:
        self._bells: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def bell(self, run_id: str) -> asyncio.Event:
        """The event that the next change sets; take it before looking at the database."""
        return self._bells[run_id]

    def ring(self, run_id: str) -> None:
        """Something changed. May be called inside the transaction: whoever wakes queues for the same lock."""
        bell = self._bells.pop(run_id, None)
        if bell is not None:
            bell.set()


async def wait_for(bell: asyncio.Event, deadline: float) -> bool:
    """Sleep until the bell rings or it is time to poll; False when the deadline (loop time) has passed."""
    left = deadline - asyncio.get_running_loop().time()
    if left <= 0:
        return False
    try:
        async with asyncio.timeout(min(left, POLL_S)):
            await bell.wait()
    except TimeoutError:
        pass
    return True
