"""Wakes calls that wait for a change in a run's buffer; other processes' changes are found by polling.

- Every look of a woken call is a transaction, so a push wakes only whom it may help: who waits for a slot, when it
  frees one; who waits for a batch, when the batch may be complete.
- Everything else (a publish, an end) wakes all.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from math import inf

from skyscale.buffer.rules import GroupState

POLL_S = 0.25
"""How long a change made by another control-plane process can go unseen."""


class Bell(asyncio.Event):
    """Rings for whoever waits for a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.missing = 1
        """Groups that must still be pushed before another look can find a batch."""


class Wakeup:
    """Two bells per run, replaced each time they ring, so a ring between look and wait is not missed."""

    def __init__(self) -> None:
        self._slot_bells: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._batch_bells: defaultdict[str, Bell] = defaultdict(Bell)

    def slot_bell(self, run_id: str) -> asyncio.Event:
        """Set when a slot may have become free; take it before looking at the database."""
        return self._slot_bells[run_id]

    def batch_bell(self, run_id: str) -> Bell:
        """Set when a batch may be complete; take it before each look, and add to `missing` what the look has found.

        It is one for all who wait: the last look decides when it rings, and the others poll.
        """
        bell = self._batch_bells[run_id]
        bell.missing = 1
        return bell

    def lacking(self, run_id: str) -> float:
        """Groups that the batch which somebody waits for still lacks; infinite when nobody waits."""
        bell = self._batch_bells.get(run_id)
        return inf if bell is None else bell.missing

    def ring(self, run_id: str) -> None:
        """Something changed. May be called inside the transaction: whoever wakes queues for the same lock."""
        for bells in (self._slot_bells, self._batch_bells):
            bell = bells.pop(run_id, None)
            if bell is not None:
                bell.set()

    def pushed(self, run_id: str, states: Iterable[GroupState]) -> None:
        """Groups were pushed and are in these states now."""
        arrived = list(states)
        if any(state is not GroupState.WAITING for state in arrived) and (bell := self._slot_bells.pop(run_id, None)):
            bell.set()
        waiting = self._batch_bells.get(run_id)
        if waiting is not None:
            waiting.missing -= len(arrived)
            if waiting.missing <= 0:
                self._batch_bells.pop(run_id).set()


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
