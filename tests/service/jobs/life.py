"""Control planes that live and die over one database and two providers, `near` and `far`, in a time of their own."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from skyscale.auth.tokens import JobTokens
from skyscale.events.service import EventLog
from skyscale.jobs import queries
from skyscale.jobs.queries import JobRecord
from skyscale.jobs.scheduler import Scheduler
from skyscale.jobs.service import JobService
from skyscale.settings import Settings
from skyscale.store.engine import AsyncConnection, Database
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.jobs import JobRole
from skyscale.wire.runs import Event
from tests.service.jobs.conftest import SPEC
from tests.service.jobs.world import Account, Crash, Place


class FragileEvents(EventLog):
    """Dies in the middle of a transaction when it is told to: what was being recorded is lost with it."""

    die = False

    async def append(self, connection: AsyncConnection, **event: Any) -> Event:
        if self.die:
            self.die = False
            raise Crash
        return await super().append(connection, **event)


@dataclass
class Life:
    """Control planes, one after the other, over one database and two providers, in a time of their own."""

    db: Database
    folder: Path
    near: Account = field(default_factory=Account)
    far: Account = field(default_factory=Account)
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __post_init__(self) -> None:
        self.settings = Settings(
            data_dir=self.folder, gpu_provider_order="near,far", heartbeat_s=1e6, max_attempts=10, gpu_queue_s=60.0
        )
        self.places = {"near": Place("near", self.near), "far": Place("far", self.far)}
        self.events = FragileEvents(self.db)
        self.born()

    def born(self) -> None:
        """Another control plane."""
        self.service = JobService(
            self.db, self.events, providers=self.places, settings=self.settings, clock=lambda: self.now
        )
        self.scheduler = Scheduler(
            self.db, self.events, service=self.service, tokens=JobTokens(b"k" * 32), metrics=Metrics(),
            providers=self.places, settings=self.settings, url=lambda: "http://127.0.0.1:1", clock=lambda: self.now,
        )  # fmt: skip

    async def look(self) -> None:
        """One round, to its end or to the control plane's; the next one finds the locks broken, as a start does."""
        try:
            await self.scheduler.look()
            await self.scheduler.stop()
        except Crash:
            async with self.db.write() as connection:
                await queries.break_locks(connection)
            self.born()
        self.now += timedelta(seconds=10)
        self.check()

    def check(self) -> None:
        live = Counter(box.job_id for box in self.near.live() + self.far.live())
        assert all(count == 1 for count in live.values()), f"runs twice: {live}"
        for account in (self.near, self.far):
            assert all(count == 1 for count in account.starts.values()), f"submitted twice: {account.starts}"

    async def job(self) -> JobRecord:
        (job,) = await queries.live(self.db)
        return job

    async def until(self, done: Callable[[JobRecord], bool]) -> JobRecord:
        for _ in range(60):
            job = await self.job()
            if done(job):
                return job
            await self.look()
        raise AssertionError(f"it did not come to pass: {await self.job()}")

    async def add(
        self, provider: str = "auto", role: JobRole = JobRole.TRAINER, gpu: str = "cpu", capacity: str | None = None
    ) -> str:
        """A job of a run."""
        spec = SPEC.model_copy(update={"provider": provider, "gpu_model": gpu, "capacity": capacity})
        async with self.db.write() as connection:
            return await self.service.create_for_run(connection, spec, role, 0, held=False)

    async def want(self, desired: str) -> None:
        async with self.db.write() as connection:
            await self.service.set_desired(connection, "rl-test", desired)  # pyright: ignore[reportArgumentType]

    async def told(self) -> list[str]:
        """Kinds of the run's events."""
        return [event.kind for event in await self.events.list("rl-test")]
