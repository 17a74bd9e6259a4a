"""The meters of services, read once a minute, and the caps of those that have one.

    open meters ---> what Railway says of the services ---> what the tick adds, one write ---> at its cap, stop it

- A service costs what it may use (its limits), at Railway's list prices, while it is starting or running: at least what
  the invoice says, for Railway bills what it does use. It counts as running for the whole of a tick at either end of
  which it ran.
- Railway is asked only while there are open meters; what it does not answer is charged with the next answer.
- A meter ends with its service. It begins in the deploy, before anything runs.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from skyscale.errors import Conflict, NotFound
from skyscale.money import rules
from skyscale.money.loop import Loop
from skyscale.money.prices import Prices
from skyscale.money.services import queries
from skyscale.money.services.queries import ServiceCostRow
from skyscale.money.ticks import Ticks
from skyscale.store.engine import Database
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.base import utc_now
from skyscale.wire.costs import ServiceCost
from skyscale.wire.services import ServiceDeploy, ServiceStatus, ServiceView

log = logging.getLogger(__name__)
TICK_S = 60.0
"""Railway counts calls by the hour."""
LEAST_S = 300.0
"""A cap must pay for so long, or the service would be stopped before it has started."""
APPEARS = timedelta(minutes=5)
"""How long a service that was just made may be missing from Railway's list."""
COSTS = frozenset({ServiceStatus.DEPLOYING, ServiceStatus.RUNNING})
RAILWAY, CPU, MEMORY = "railway", "cpu", "memory_gb"


@dataclass(slots=True)
class Ports:
    """What the meter asks of services; joined after both are made."""

    look: Callable[[], Awaitable[Sequence[ServiceView]]]
    stop: Callable[[str], Awaitable[None]]


class ServiceMeter:
    """What services of one owner cost."""

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        prices: Prices,
        owner: str,
        *,
        clock: Callable[[], datetime] = utc_now,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._metrics, self._prices, self._owner = database, metrics, prices, owner
        self._clock, self._steady = clock, steady
        self.ports: Ports | None = None
        self._ticks = Ticks()
        self._loop = Loop("money.services", self.tick, TICK_S, ticks_at_end=False)

    def check(self, body: ServiceDeploy) -> None:
        """Raise Invalid for a cap that stops the service before it has started."""
        rules.require_affordable(body.max_cost_usd, self._hourly(body.vcpus, body.memory_gb), LEAST_S)

    async def open(self, service_id: str, body: ServiceDeploy) -> None:
        """Begin to meter a service that is about to be started."""
        now = self._clock()
        row = ServiceCostRow(
            service_id=service_id, name=body.name, owner=self._owner, vcpus=body.vcpus, memory_gb=body.memory_gb,
            usd_per_hour=self._hourly(body.vcpus, body.memory_gb), max_cost_usd=body.max_cost_usd, opened_at=now,
            metered_at=now,
        )  # fmt: skip
        async with self._database.write() as connection:
            await queries.insert_row(connection, row)

    async def costs_of(self, service_ids: Sequence[str]) -> dict[str, ServiceCost]:
        """What those of these services cost that have a meter."""
        async with self._database.read() as connection:
            return await queries.costs_of(connection, service_ids)

    async def start(self) -> None:
        """Tick until `stop`."""
        self._loop.start()

    async def stop(self) -> None:
        """End; what is due is charged by the next control plane, which asks Railway anyway."""
        await self._loop.stop()

    async def tick(self) -> None:
        """One look at every service with an open meter. Raises what Railway's answer does."""
        async with self._database.read() as connection:
            if self.ports is None or not await queries.opened(connection, self._owner):
                return
        views = {view.service_id: view for view in await self.ports.look()}
        over: list[ServiceCostRow] = []
        async with self._database.write() as connection:
            now, steady = self._clock(), self._steady()
            ticks: list[tuple[ServiceCostRow, dict[str, object]]] = []
            for row in await queries.opened(connection, self._owner, lock=True):
                values = self._ticked(row, views.get(row.service_id), now, steady)
                await queries.change(connection, row.service_id, values)
                ticks.append((row, values))
                over += [row] if _is_over(row, values) else []
            self._database.after_commit(connection, lambda: self._written(ticks, steady))
        for row in over:
            log.warning("service %s reached its max_cost_usd of $%g and is stopped", row.name, row.max_cost_usd)
            try:
                await self.ports.stop(row.name)
            except (NotFound, Conflict) as error:
                log.info("service %s had ended before it was stopped: %s", row.name, error.detail)

    def _ticked(self, row: ServiceCostRow, view: ServiceView | None, now: datetime, steady: float) -> dict[str, object]:
        is_new = now - row.opened_at < APPEARS
        is_there = view is not None or is_new
        is_running = view.status in COSTS if view is not None else is_new
        elapsed = self._ticks.elapsed(row.service_id, row.metered_at, now, steady)
        seconds = elapsed.total_seconds() if row.is_running or is_running else 0.0
        rate = self._hourly(row.vcpus, row.memory_gb)
        return {
            "running_s": row.running_s + seconds, "usd": row.usd + seconds * rate / 3600,
            "usd_per_hour": rate if is_running else 0.0, "is_running": is_running, "is_closed": not is_there,
            "metered_at": self._ticks.ends_at(row.service_id, row.metered_at, now),
        }  # fmt: skip

    def _written(self, ticks: list[tuple[ServiceCostRow, dict[str, object]]], steady: float) -> None:
        for row, values in ticks:
            at = values["metered_at"]
            assert isinstance(at, datetime)
            self._ticks.written(row.service_id, at, steady, is_last=bool(values["is_closed"]))
            self._metrics.service_cost_usd.inc(float(str(values["usd"])) - row.usd)

    def _hourly(self, vcpus: float, memory_gb: float) -> float:
        cpu, memory = self._prices.per_hour(RAILWAY, CPU), self._prices.per_hour(RAILWAY, MEMORY)
        assert cpu is not None and memory is not None, "the list has both"
        return vcpus * cpu + memory_gb * memory


def _is_over(row: ServiceCostRow, values: dict[str, object]) -> bool:
    """Whether what is left of the cap does not pay until the tick after the next one."""
    if row.max_cost_usd is None or not values["is_running"]:
        return False
    usd, rate = float(str(values["usd"])), float(str(values["usd_per_hour"]))
    return usd + 2 * TICK_S * rate / 3600 >= row.max_cost_usd
