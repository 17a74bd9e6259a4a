"""The parts of money, built and joined with what they stop."""

from dataclasses import dataclass

from skyscale.events.service import EventLog
from skyscale.jobs.service import JobService
from skyscale.money.jobs.meter import JobMeter
from skyscale.money.meter import Meter
from skyscale.money.prices import Prices
from skyscale.money.service import MoneyService
from skyscale.money.services.meter import Ports, ServiceMeter
from skyscale.services.service import ContainerServices
from skyscale.settings import Settings
from skyscale.store.engine import Database
from skyscale.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyParts:
    """What is asked about money, and the meters."""

    service: MoneyService
    runs: Meter
    services: ServiceMeter
    prices: Prices


@dataclass(frozen=True, slots=True)
class Meters:
    """All meters."""

    runs: Meter
    jobs: JobMeter
    services: ServiceMeter

    async def start(self) -> None:
        """Tick until `stop`."""
        for each in (self.runs, self.jobs, self.services):
            await each.start()

    async def stop(self) -> None:
        """Write down what is due, and end."""
        for each in (self.services, self.jobs, self.runs):
            await each.stop()


def build(settings: Settings, database: Database, events: EventLog, metrics: Metrics, owner: str) -> MoneyParts:
    """Nothing is started. `owner` is whose services are metered. Raises Invalid for prices that are none."""
    prices = Prices.parse(settings.prices)
    return MoneyParts(
        service=MoneyService(
            database, prices, sandbox_slots=settings.sandbox_slots, providers=settings.provider_order
        ),
        runs=Meter(database, events, metrics, prices),
        services=ServiceMeter(database, metrics, prices, owner),
        prices=prices,
    )  # fmt: skip


def join(
    money: MoneyParts, database: Database, metrics: Metrics, jobs: JobService, containers: ContainerServices
) -> Meters:
    """The meters, with the power to end what has reached its cap."""
    money.services.ports = Ports(containers.all, containers.stop)
    return Meters(money.runs, JobMeter(database, metrics, money.prices, jobs.stop_for), money.services)
