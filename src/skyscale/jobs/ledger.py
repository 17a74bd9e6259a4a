"""How an action on a job gets hold of its row and lets go of it again; every change says so in the run's events."""

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from skyscale.errors import SkyscaleError
from skyscale.events.service import EventLog
from skyscale.jobs import queries
from skyscale.jobs.queries import JobRecord
from skyscale.store.engine import AsyncConnection, Database
from skyscale.wire.jobs import JobRole

log = logging.getLogger(__name__)

LOCK_S = 60.0
"""Longer than any action may take beyond its provider's own deadline; only a crash lets a lock lapse."""
AGAIN_S = 2.0
"""Between two tries of an action whose provider does not answer."""
BAD = frozenset({"job.failed", "job.retry", "job.lost", "job.passed_over", "job.unanswered"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Claims, results and events of jobs; each call is one transaction."""

    database: Database
    events: EventLog
    clock: Callable[[], datetime]

    async def claim(self, job: JobRecord, values: Mapping[str, object], lock_s: float = LOCK_S) -> str | None:
        """Take the job if it is still as it was seen; the token that `apply` needs, or None."""
        token, now = secrets.token_hex(16), self.clock()
        lock = {"lock_token": token, "lock_expires_at": now + timedelta(seconds=lock_s)}
        async with self.database.write() as connection:
            return token if await queries.claim(connection, job, now, lock | dict(values)) else None

    async def apply(
        self, job: JobRecord, token: str, values: Mapping[str, object], kind: str, message: str, **data: object
    ) -> bool:
        """Write the result and its event and let go; False when the job was taken from us meanwhile."""
        async with self.database.write() as connection:
            if not await queries.apply(connection, job.view.job_id, token, values):
                return False
            await self._record(connection, job, kind, message, data)
        return True

    async def put_off(self, job: JobRecord, token: str, why: str) -> None:
        """Give the claim back a little later, so that what failed is tried again, but not at once; `why` is shown."""
        values = {"lock_token": token, "lock_expires_at": self.clock() + timedelta(seconds=AGAIN_S), "reason": why}
        async with self.database.write() as connection:
            is_ours = await queries.apply(connection, job.view.job_id, token, values)
            if is_ours and job.view.reason != why:  # said once, not at every try
                await self._record(connection, job, "job.unanswered", f"{name_of(job)}: {why}", {})

    async def say(self, job: JobRecord, kind: str, message: str) -> None:
        """Record an event that changes no row."""
        async with self.database.write() as connection:
            await self._record(connection, job, kind, message, {})

    async def _record(
        self, connection: AsyncConnection, job: JobRecord, kind: str, message: str, data: Mapping[str, object]
    ) -> None:
        log.info("job %s: %s", job.view.job_id, message)
        if job.view.run_id is not None:
            await self.events.append(
                connection, run_id=job.view.run_id, component=name_of(job), kind=kind, message=message,
                level="warning" if kind in BAD else "info", data={"job_id": job.view.job_id, **data},
            )  # fmt: skip


def name_of(job: JobRecord) -> str:
    """The job in words: `policy`, `worker-1`."""
    return f"worker-{job.view.index}" if job.view.role is JobRole.WORKER else job.view.role.value


def told(error: SkyscaleError | TimeoutError) -> str:
    """What went wrong with a provider, in words."""
    return error.detail if isinstance(error, SkyscaleError) else "no answer in time"
