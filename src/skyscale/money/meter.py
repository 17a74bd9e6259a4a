"""The meters of all runs: read every second, written in one transaction, shown as metrics, told as events.

    every TICK_S:   open meters + their jobs ---> what the tick adds ---> one write ---> metrics, milestones

- A tick's length is what `ticks` says: a wall clock that jumps neither bills hours nor gives any back.
- Several control planes may tick: the row is locked, and each tick begins where the last one ended, whoever made it.
- A run's meter is closed by the first tick after its end, which charges its jobs until they ended.
- Nothing is stopped here: `verdict` tells the runs' coordinator what a run's cost means.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from skyscale.events.service import EventLog
from skyscale.money import queries, rules
from skyscale.money.charges import advance
from skyscale.money.loop import Loop
from skyscale.money.prices import Prices
from skyscale.money.queries import JobSpan, Open
from skyscale.money.tally import SandboxTally
from skyscale.money.ticks import Ticks
from skyscale.store.engine import AsyncConnection, Database
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.base import utc_now


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
        self._ticks = Ticks()
        self._loop = Loop("money.meter", self.tick, rules.TICK_S)

    async def start(self) -> None:
        """Tick until `stop`."""
        self._loop.start()

    async def stop(self) -> None:
        """Write down what is due, and end."""
        await self._loop.stop()

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
        values = advance(
            each.cost, jobs, self._prices, sandbox_s=sandbox_s, version=each.version,
            elapsed=self._ticks.elapsed(run_id, each.cost.metered_at, now, steady), now=now, has_ended=each.has_ended,
        )  # fmt: skip
        at = self._ticks.ends_at(run_id, each.cost.metered_at, now)
        return _Tick(run_id, values | {"metered_at": at}, at, sandbox_s)

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
            self._ticks.written(tick.run_id, tick.at, steady, is_last=bool(tick.values["is_closed"]))
            self._metrics.note_cost(tick.run_id, tick.values)
