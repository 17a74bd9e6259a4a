"""kill -9 of the process that holds the scheduler: its jobs go on, and the next one adopts them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.service.jobs.conftest import House

PROGRAM = """
import asyncio, sys
from pathlib import Path
from skyscale.auth.tokens import JobTokens
from skyscale.events.service import EventLog
from skyscale.jobs.loading import load_providers
from skyscale.jobs.scheduler import Scheduler
from skyscale.jobs.service import JobService
from skyscale.settings import Settings
from skyscale.store.engine import Database
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.jobs import TrainingJobCreate

async def main():
    settings = Settings(data_dir=Path(sys.argv[1]), database_url=sys.argv[2], reconcile_s=0.05)
    db, providers = Database(settings.sqlalchemy_url), load_providers(settings.data_dir, "0123456789ab")
    events = EventLog(db)
    service = JobService(db, events, providers=providers, settings=settings)
    await Scheduler(db, events, service=service, tokens=JobTokens(b"k" * 32), metrics=Metrics(), providers=providers,
                    settings=settings, url=lambda: "http://127.0.0.1:1").start()
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    await service.create_custom(TrainingJobCreate(job_id="job-orphan", command=command))
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_jobs_outlive_a_killed_control_plane_and_are_adopted_by_the_next(house: House) -> None:
    if not house.db.is_sqlite:
        pytest.skip("once is enough: the database makes no difference to processes")
    arguments = [sys.executable, "-c", PROGRAM, str(house.settings.data_dir), house.settings.sqlalchemy_url]
    control_plane = subprocess.Popen(arguments)  # noqa: ASYNC220 - it is killed, not awaited
    try:
        log = house.settings.data_dir / "jobs" / "job-orphan" / "log"

        async def is_running() -> bool:
            return log.exists() and "up\n" in log.read_text() and (await house.job("job-orphan")).status == "running"

        await house.until(is_running)
    finally:
        control_plane.kill()
        control_plane.wait()
    before = house.processes("job-orphan")
    assert len(before) == 2
    second = await house.open()
    await asyncio.sleep(0.2)
    assert house.processes("job-orphan") == before
    assert (await house.job("job-orphan")).attempt == 1
    await second.shutdown()
    assert house.processes("job-orphan") == []
