"""A host as this process knows it: its last report, what we have with it now, and whether it can be used.

- `suspect`: a call of ours failed. It is asked nothing new until it reports again.
- `lost`: a future that is done when the host is given up; whoever waits for the host is freed by it at once.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from skyscale.errors import Unavailable
from skyscale.hosts.client import HostClient
from skyscale.wire.hosts import HostReport

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Host:
    """One sandbox host that is in use."""

    host_id: str
    report: HostReport
    seen_at: datetime
    client: HostClient
    num_ours: int = 0
    """Programs that we have it judge now."""
    num_foreign: int = 0
    """Programs that it judges for others, by its last report."""
    num_making: int = 0
    """Interactive sandboxes that we have it make now."""
    num_made: int = 0
    """Those that it made for us since its last report."""
    is_suspect: bool = False
    lost: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """The reason, once it is given up."""

    @property
    def slots(self) -> int:
        """Programs that it runs at once."""
        return self.report.slots

    @property
    def num_judging(self) -> int:
        """Programs that it has, ours and others'."""
        return self.num_ours + self.num_foreign

    @property
    def num_free(self) -> int:
        """Interactive sandboxes that it has room for."""
        return self.report.max_sandboxes - len(self.report.sandboxes) - self.num_making - self.num_made

    @property
    def is_usable(self) -> bool:
        """Whether something new may be asked of it."""
        return self.report.state == "ready" and not self.is_suspect and not self.lost.done()

    def heard(self, report: HostReport, seen_at: datetime) -> None:
        """Take note of a report."""
        self.report, self.seen_at, self.is_suspect = report, seen_at, False
        self.num_made = 0
        self.num_foreign = max(0, report.judging - self.num_ours)

    def give_up(self, reason: str) -> None:
        """Free everybody who waits for it."""
        if not self.lost.done():
            self.lost.set_result(reason)

    async def unless_lost(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`. Raises Unavailable when the host is lost first."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self.lost}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise Unavailable(f"sandbox host {self.report.name} is lost: {self.lost.result()}", code="host_lost")
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
