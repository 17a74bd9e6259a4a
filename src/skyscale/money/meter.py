"""The meters of all runs: read every second, written in one transaction, shown as metrics, told as events.

    every TICK_S:   open meters + their jobs ---> what the tick adds ---> one write ---> metrics, milestones

- A tick's length is measured by a clock that only goes forward where this process made the tick before; after a restart
  or another process's tick it is the wall clock's. A wall clock that jumps neither bills hours nor gives any back.
- Several control planes may tick: the row is locked, and each tick begins where the last one ended, whoever made it.
- A run's meter is closed by the first tick after its end, which charges its jobs until they ended.
- Nothing is stopped here: `verdict` tells the runs' coordinator what a run's cost means.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from skyscale.events.service import EventLog
from skyscale.money import queries, rules
from skyscale.money.charges import advance
from skyscale.money.prices import Prices
from skyscale.money.queries import CostRecord, JobSpan, Open
from skyscale.money.tally import SandboxTally
from skyscale.store.engine import AsyncConnection, Database
from skyscale.store.uninterrupted import to_its_end
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.base import utc_now

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Tick:
    """One run's tick, as written."""

    run_id: str
    values: dict[str, object]
    at: datetime
    sandbox_s: float


class Meter:
    """One loop for all runs."""

    def __init__(
        self,
        database: Database,
        events: EventLog,
        metrics: Metrics,
        prices: Prices,
        *,
        clock: Callable[[], datetime] = utc_now,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._events = events
        self._metrics = metrics
        self._prices = prices
        self.sandboxes = SandboxTally()
        self._clock = clock
        self._steady = steady
        self._mine: dict[str, tuple[datetime, float]] = {}
        """Run -> when this process ticked it last, by both clocks."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Tick until `stop`."""
        self._task = asyncio.create_task(self._run(), name="money.meter")

    async def stop(self) -> None:
        """Write down what is due, and end."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        try:
            await self.tick()
        except Exception:
            log.exception("the last tick of the meters failed; the next control plane makes it up")

    async def tick(self) -> None:
        """One reading of every open meter."""
        if not await self._database.read_at_once(queries.opened):
            return
        async with self._database.write() as connection:
            found = await queries.opened(connection, lock=True)
            now, steady = self._clock(), self._steady()
            jobs = await queries.spans(connection, [each.cost.run_id for each in found])
            ticks = [self._ticked(each, jobs[each.cost.run_id], now, steady) for each in found]
            for each, tick in zip(found, ticks, strict=True):
                told = await self._tell(connection, each, tick)
                await queries.change(connection, tick.run_id, tick.values | told)
            self._database.after_commit(connection, lambda: self._written(ticks, steady))

    def _ticked(self, each: Open, jobs: list[JobSpan], now: datetime, steady: float) -> _Tick:
        run_id = each.cost.run_id
        sandbox_s = self.sandboxes.peek(run_id)
        is_mine = self._is_mine(each.cost)
        values = advance(
            each.cost, jobs, self._prices, sandbox_s=sandbox_s, version=each.version,
            elapsed=self._elapsed(each.cost, now, steady), now=now, has_ended=each.has_ended,
        )  # fmt: skip
        # Another process's clock may be ahead of ours: time that it has charged is not charged again.
        at = now if is_mine else max(now, each.cost.metered_at)
        return _Tick(run_id, values | {"metered_at": at}, at, sandbox_s)

    def _elapsed(self, cost: CostRecord, now: datetime, steady: float) -> timedelta:
        if self._is_mine(cost):
            return timedelta(seconds=max(0.0, steady - self._mine[cost.run_id][1]))
        return max(timedelta(0), now - cost.metered_at)

    def _is_mine(self, cost: CostRecord) -> bool:
        """Whether this process made the tick before."""
        return self._mine.get(cost.run_id, (None, 0.0))[0] == cost.metered_at

    async def _tell(self, connection: AsyncConnection, each: Open, tick: _Tick) -> dict[str, object]:
        """Record milestones and the final bill in the run's events; columns that change by it."""
        usd, cap = float(str(tick.values["usd"])), each.cost.max_cost_usd
        data = {name: tick.values[name] for name in ("usd", "gpu_s", "cpu_s", "sandbox_s", "tokens", "unpriced")}
        data["max_cost_usd"] = cap
        if each.has_ended:
            await self._say(connection, tick.run_id, "cost.total", f"the run cost ${usd:.4f}", data)
            return {}
        percent = rules.passed(usd, cap, each.cost.told_percent)
        if percent is None:
            return {}
        message = f"${usd:.4f} of max_cost_usd ${cap:g} are spent: more than {percent} %"
        await self._say(connection, tick.run_id, "cost.milestone", message, data, "warning" if percent > 50 else "info")
        return {"told_percent": percent}

    async def _say(
        self, connection: AsyncConnection, run_id: str, kind: str, message: str, data: dict[str, object],
        level: str = "info",
    ) -> None:  # fmt: skip
        await self._events.append(
            connection, run_id=run_id, component="meter", kind=kind, message=message, level=level, data=data
        )

    def _written(self, ticks: list[_Tick], steady: float) -> None:
        for tick in ticks:
            self.sandboxes.settle(tick.run_id, tick.sandbox_s)
            self._mine[tick.run_id] = (tick.at, steady)
            self._metrics.note_cost(tick.run_id, tick.values)
            if tick.values["is_closed"]:
                del self._mine[tick.run_id]

    async def _run(self) -> None:
        while True:
            try:
                await to_its_end(self.tick())
            except Exception:
                log.exception("reading the meters failed; the next tick makes it up")
            await asyncio.sleep(rules.TICK_S)
