"""No attempt is ever submitted twice and no job runs twice at once, whatever dies between intent, submit and record."""

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from skyscale.jobs import queries
from skyscale.jobs.queries import JobRecord
from skyscale.jobs.reaper import Reaper
from skyscale.jobs.rules import Seen
from skyscale.store.engine import Database
from skyscale.store.tables import metadata
from skyscale.store.tables.jobs import jobs as jobs_table
from skyscale.wire.jobs import JobStatus, TrainingJobCreate
from tests.service.jobs.life import Life
from tests.service.jobs.world import Fault

FAULTS: list[Fault] = ["", "full", "refused", "before", "after", "crash_before", "crash_after", "silent"]


@pytest.fixture(scope="module")
def runner() -> Generator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def database(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Generator[Database]:
    db = Database(f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('never-twice')}/jobs.db")

    async def prepare() -> None:
        async with db.write() as connection:
            await connection.run_sync(metadata.create_all)

    runner.run(prepare())
    yield db
    runner.run(db.close())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    near=st.lists(st.sampled_from(FAULTS), max_size=6),
    far=st.lists(st.sampled_from(FAULTS), max_size=6),
    records_lost=st.lists(st.booleans(), max_size=6),
    waits=st.booleans(),
    is_custom=st.booleans(),
)
def test_whatever_dies_between_intent_submit_and_record(
    runner: asyncio.Runner, database: Database, tmp_path: Path, near: list[Fault], far: list[Fault],
    records_lost: list[bool], waits: bool, is_custom: bool,
) -> None:  # fmt: skip
    runner.run(_one_life(Life(database, tmp_path), near, far, records_lost, waits, is_custom))


async def _one_life(
    life: Life, near: list[Fault], far: list[Fault], records_lost: list[bool], waits: bool, is_custom: bool
) -> None:
    async with life.db.write() as connection:
        await connection.execute(delete(jobs_table))
    life.near.faults.extend(near)
    life.far.faults.extend(far)
    life.near.first = life.far.first = "pending" if waits else "running"
    if is_custom:
        await life.service.create_custom(TrainingJobCreate(command=["work"], max_attempts=10))
    else:
        await life.add()
    for lost in records_lost:
        life.events.die = lost
        await life.look()
    life.events.die = False
    await life.until(lambda job: job.handle is not None)
    assert len(life.near.live() + life.far.live()) == 1
    for box in life.near.live() + life.far.live():
        box.seen = Seen("running")
    job = await life.until(lambda job: job.facts.status is JobStatus.RUNNING)
    account = life.near if job.view.provider == "near" else life.far
    (box,) = account.live()
    assert (box.job_id, box.attempt) == (job.view.job_id, job.facts.attempt)
    reaper = Reaper(database=life.db, providers=life.places, grace_s=0, monotonic=life.now.timestamp)
    assert [await reaper.look(), await reaper.look()] == [[], []], "a live job was taken for an orphan"
    await _ends(life, job)


async def _ends(life: Life, job: JobRecord) -> None:
    async with life.db.write() as connection:
        await queries.set_desired(connection, "stop", life.now, job_id=job.view.job_id)
    life.near.faults.append("silent")
    life.far.faults.append("silent")
    for _ in range(5):
        await life.look()
    async with life.db.read() as connection:
        ended = await queries.get(connection, job.view.job_id)
    assert ended is not None
    assert ended.facts.status is JobStatus.CANCELLED
    assert life.near.live() + life.far.live() == []
