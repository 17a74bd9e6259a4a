"""Everything the control plane is made of, built once, in one place, and passed on."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from skyscale.auth.tokens import JobTokens, load_secret
from skyscale.events.service import EventLog
from skyscale.settings import Settings
from skyscale.store.engine import Database
from skyscale.store.migrate import upgrade
from skyscale.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Services:
    """The parts, by the noun they own."""

    settings: Settings
    database: Database
    metrics: Metrics
    tokens: JobTokens
    events: EventLog


def build(settings: Settings) -> Services:
    """Make every part and join them; nothing is started and nothing is read but the signing secret."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.sqlalchemy_url)
    return Services(
        settings=settings,
        database=database,
        metrics=Metrics(),
        tokens=JobTokens(load_secret(settings.data_dir / "secrets")),
        events=EventLog(database),
    )


@asynccontextmanager
async def running(parts: Services) -> AsyncGenerator[None]:
    """Bring the database up to date, start the reconcilers, and stop it all at the end of the block."""
    await upgrade(parts.database)
    try:
        yield
    finally:
        await parts.database.close()
