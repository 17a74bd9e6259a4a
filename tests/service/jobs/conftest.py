"""Jobs alone, over both databases, with real processes; the loop is the real one at a quick pace."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from skyscale.auth.tokens import JobTokens
from skyscale.events.service import EventLog
from skyscale.jobs import processes
from skyscale.jobs.loading import load_providers
from skyscale.jobs.scheduler import Scheduler
from skyscale.jobs.service import JobService
from skyscale.settings import Settings
from skyscale.store.engine import Database
from skyscale.store.tables import metadata
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.jobs import JobRole, JobView
from skyscale.wire.runs import Algorithm, Evaluation, RunSpec, Sampling

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
SPEC = RunSpec(
    run_id="rl-test", base_model="skyscale/starter", num_workers=1, gpu_model="cpu", provider="local",
    problem_set="embedded", difficulty=None, algorithm=Algorithm(), sampling=Sampling(), evaluation=Evaluation(),
    mode="async", seed=0, max_steps=None, max_hours=None, target_reward=None, max_concurrent_groups=1,
    checkpoint_every=1, keep_versions=2,
)  # fmt: skip


@dataclass
class House:
    """The jobs room and what it stands on; `open` starts a scheduler as a control plane would."""

    settings: Settings
    db: Database
    schedulers: list[Scheduler] = field(default_factory=list[Scheduler])

    def __post_init__(self) -> None:
        self.events = EventLog(self.db)
        self.tokens = JobTokens(b"k" * 32)
        self.service = self.new_service()

    def new_service(self) -> JobService:
        providers = load_providers(self.settings.data_dir, self.tokens.owner)
        return JobService(self.db, self.events, providers=providers, settings=self.settings)

    async def open(self, worker: str = SLEEP, others: str = SLEEP) -> Scheduler:
        commands: Mapping[JobRole, Sequence[str]] = {
            role: (sys.executable, "-c", worker if role is JobRole.WORKER else others) for role in JobRole
        }
        self.service = self.new_service()
        scheduler = Scheduler(
            self.db, self.events, service=self.service, tokens=self.tokens, metrics=Metrics(),
            providers=load_providers(self.settings.data_dir, self.tokens.owner), settings=self.settings,
            url=lambda: "http://127.0.0.1:1", commands=commands,
        )  # fmt: skip
        self.schedulers.append(scheduler)
        await scheduler.start()
        return scheduler

    async def add(self, role: JobRole = JobRole.WORKER, *, held: bool = False) -> str:
        async with self.db.write() as connection:
            return await self.service.create_for_run(connection, SPEC, role, 0, held=held)

    async def want(self, desired: str) -> None:
        async with self.db.write() as connection:
            await self.service.set_desired(connection, "rl-test", desired)  # pyright: ignore[reportArgumentType]

    async def job(self, job_id: str) -> JobView:
        return (await self.service.detail(job_id)).job

    async def reaches(self, job_id: str, *statuses: str, attempt: int | None = None, within_s: float = 15) -> JobView:
        async def has() -> bool:
            view = await self.job(job_id)
            return view.status in statuses and (attempt is None or view.attempt == attempt)

        await self.until(has, within_s)
        return await self.job(job_id)

    async def printed(self, job_id: str, times: int = 1) -> None:
        async def has() -> bool:
            return (await self.service.detail(job_id)).logs.count("up\n") == times

        await self.until(has)

    async def until(self, check: Callable[[], Awaitable[bool]], within_s: float = 15) -> None:
        deadline = time.monotonic() + within_s
        while not await check():
            assert time.monotonic() < deadline, "it did not come to pass in time"
            await asyncio.sleep(0.02)

    def processes(self, job_id: str) -> list[int]:
        """Pids of the job: the runner, then its command."""
        found = processes.of_folder((self.settings.data_dir / "jobs" / job_id).absolute())
        return [each.pid for each in sorted(found, key=lambda each: (each.started, each.pid))]

    async def kinds(self) -> list[str]:
        return [event.kind for event in await self.events.list("rl-test")]


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data", database_url=database_url, reconcile_s=0.05, heartbeat_s=0.3, max_attempts=3
    )


@pytest.fixture
async def house(settings: Settings) -> AsyncGenerator[House]:
    db = Database(settings.sqlalchemy_url)
    async with db.write() as connection:
        await connection.run_sync(metadata.create_all)
    house = House(settings, db)
    yield house
    for scheduler in house.schedulers:
        await scheduler.stop()
    for folder in (settings.data_dir / "jobs").glob("*"):
        processes.kill_all(folder.absolute(), 5.0)
    await db.close()
