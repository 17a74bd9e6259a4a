"""What jobs of their own need of money, in this room's words; `money.service` fits as it is."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from skyscale.store.engine import AsyncConnection
from skyscale.wire.costs import JobCost
from skyscale.wire.jobs import TrainingJobCreate


class Money(Protocol):
    """What jobs cost."""

    def check_job(self, body: TrainingJobCreate) -> None:
        """Raise Invalid for a cap that cannot be kept."""
        ...

    async def open_job(self, connection: AsyncConnection, job_id: str, cap: float | None, now: datetime) -> None:
        """Begin to meter a new job."""
        ...

    async def costs_of_jobs(self, connection: AsyncConnection, job_ids: Sequence[str]) -> dict[str, JobCost]:
        """What those of these jobs cost that have a meter of their own."""
        ...
