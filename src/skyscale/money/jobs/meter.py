"""The meters of jobs of their own, read every second, and the caps of those that have one.

    open meters + their jobs ---> what the tick adds ---> at its cap, the job is told to stop ---> one write

- A tick's length is what `ticks` says: a wall clock that jumps neither bills hours nor gives any back.
- A cap has a margin that pays for ending the job; the order to stop and the bill that led to it are one transaction.
- A meter is closed by the first tick after its job's end, which charges the job until it ended.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from skyscale.money import rules
from skyscale.money.charges import charge
from skyscale.money.jobs import queries
from skyscale.money.jobs.queries import JobCostRow
from skyscale.money.loop import Loop
from skyscale.money.prices import Prices
from skyscale.money.queries import JobSpan
from skyscale.money.ticks import Ticks
from skyscale.store.engine import AsyncConnection, Database
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.base import utc_now
from skyscale.wire.jobs import JobStatus

ENDED = frozenset({JobStatus.SUCCEEDED.value, JobStatus.FAILED.value, JobStatus.CANCELLED.value})
Stop = Callable[[AsyncConnection, str, str], Awaitable[None]]
"""Has a job end, and says why; part of the caller's transaction."""


@dataclass(frozen=True, slots=True)
class _Tick:
    """One job's tick, as written."""

    job: JobSpan
    at: datetime
    added_usd: float
    values: dict[str, object]


class JobMeter:
    """One loop for all jobs of their own."""

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        prices: Prices,
        stop_job: Stop,
        *,
        clock: Callable[[], datetime] = utc_now,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._metrics, self._prices, self._stop_job = database, metrics, prices, stop_job
        self._clock, self._steady = clock, steady
        self._ticks = Ticks()
        self._loop = Loop("money.jobs", self.tick, rules.TICK_S)

    async def start(self) -> None:
        """Tick until `stop`."""
        self._loop.start()

    async def stop(self) -> None:
        """Write down what is due, and end."""
        await self._loop.stop()

    async def tick(self) -> None:
        """One reading of every open meter."""
        async with self._database.read() as connection:
            if not await queries.opened(connection):
                return
        async with self._database.write() as connection:
            found = await queries.opened(connection, lock=True)
            now, steady = self._clock(), self._steady()
            ticks = [self._ticked(cost, job, now, steady) for cost, job in found]
            for (cost, _), tick in zip(found, ticks, strict=True):
                await queries.change(connection, cost.job_id, tick.values)
                why = _over(cost, tick)
                if why is not None:
                    await self._stop_job(connection, cost.job_id, why)
            self._database.after_commit(connection, lambda: self._written(ticks, steady))

    def _ticked(self, cost: JobCostRow, job: JobSpan, now: datetime, steady: float) -> _Tick:
        elapsed, has_ended = self._ticks.elapsed(cost.job_id, cost.metered_at, now, steady), job.status in ENDED
        added = charge([job], self._prices, now - elapsed, now)
        at = self._ticks.ends_at(cost.job_id, cost.metered_at, now)
        values: dict[str, object] = {
            "gpu_s": cost.gpu_s + added.gpu_s, "cpu_s": cost.cpu_s + added.cpu_s, "usd": cost.usd + added.usd,
            "usd_per_hour": 0.0 if has_ended else added.usd_per_hour,
            "unpriced": sorted({*cost.unpriced, *added.unpriced}), "metered_at": at, "is_closed": has_ended,
        }  # fmt: skip
        return _Tick(job, at, added.usd, values)

    def _written(self, ticks: list[_Tick], steady: float) -> None:
        for tick in ticks:
            self._ticks.written(tick.job.job_id, tick.at, steady, is_last=bool(tick.values["is_closed"]))
            self._metrics.job_cost_usd.labels(self._metrics.label(tick.job.provider)).inc(tick.added_usd)


def _over(cost: JobCostRow, tick: _Tick) -> str | None:
    """Why the job must stop, in words; None while its cap pays for going on."""
    usd, rate = cost.usd + tick.added_usd, float(str(tick.values["usd_per_hour"]))
    if cost.max_cost_usd is None or tick.values["is_closed"] or usd + rules.margin_usd(rate) < cost.max_cost_usd:
        return None
    return f"reached max_cost_usd: ${usd:.4f} of ${cost.max_cost_usd:g} are spent, the rest pays the end"
