"""Jobs of a run with real processes: started, restarted, adopted, finished, stopped, and nothing left."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from skyscale.errors import Gone
from skyscale.jobs import rules
from skyscale.wire.jobs import Heartbeat, JobRole, JobStatus

if TYPE_CHECKING:
    from tests.service.jobs.conftest import House

OBEDIENT = (
    "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); print('up', flush=True); time.sleep(60)"
)


async def test_a_job_is_started_once_and_says_so(house: House) -> None:
    await house.open()
    job_id = await house.add()
    assert await house.add() == job_id == "job-worker-test-0"
    view = await house.reaches(job_id, "running")
    await house.printed(job_id)
    assert (view.attempt, view.started_at is not None, view.reason) == (1, True, None)
    assert len(house.processes(job_id)) == 2
    assert await house.kinds() == ["job.started"]


async def test_a_held_job_waits_for_its_release(house: House) -> None:
    scheduler = await house.open()
    job_id = await house.add(held=True)
    await scheduler.look()
    assert (await house.job(job_id)).status is JobStatus.QUEUED
    async with house.db.write() as connection:
        await house.service.release(connection, "rl-test", {JobRole.WORKER})
    await house.reaches(job_id, "running")


@pytest.mark.parametrize("victim", [0, 1])
async def test_kill_9_of_a_job_is_answered_by_a_new_attempt(house: House, victim: int) -> None:
    await house.open()
    job_id = await house.add()
    await house.printed(job_id)
    before = house.processes(job_id)
    os.kill(before[victim], signal.SIGKILL)
    await house.reaches(job_id, "running", attempt=2)
    await house.printed(job_id, 2)
    assert not set(before) & set(house.processes(job_id))
    assert len(house.processes(job_id)) == 2
    kinds = await house.kinds()
    assert kinds == ["job.started", *(["job.lost"] if victim == 0 else []), "job.retry", "job.started"]


async def test_out_of_attempts_the_job_fails_with_the_last_line_it_printed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "BACKOFF_FIRST_S", 0.05)
    await house.open(worker="raise RuntimeError('no such problem set')")
    job_id = await house.add()
    view = await house.reaches(job_id, "failed")
    assert view.reason == "exit code 1: RuntimeError: no such problem set"
    assert (view.attempt, view.exit_code) == (3, 1)
    async with house.db.read() as connection:
        failed = await house.service.failed_job(connection, "rl-test")
    assert failed is not None
    assert failed.job_id == job_id
    assert await house.kinds() == ["job.started", "job.retry"] * 2 + ["job.started", "job.failed"]


async def test_a_new_control_plane_adopts_the_same_processes(house: House) -> None:
    await (await house.open()).stop()  # as after kill -9: processes go on, rows say running
    await house.open()
    job_id = await house.add()
    await house.printed(job_id)
    before = house.processes(job_id)
    await house.schedulers[-1].stop()
    second = await house.open()
    for _ in range(3):
        await second.look()
        await asyncio.sleep(0.05)
    assert house.processes(job_id) == before
    assert (await house.job(job_id)).attempt == 1
    assert (await house.kinds()).count("job.adopted") == 1


async def test_a_crash_between_intent_and_handle_leads_to_adoption_not_to_a_second_process(
    house: House,
) -> None:
    if not house.db.is_sqlite:
        pytest.skip("on PostgreSQL the dead scheduler's lock lapses after a minute")
    first = await house.open()
    job_id = await house.add()
    await house.printed(job_id)
    await first.stop()
    before = house.processes(job_id)
    async with house.db.write() as connection:
        await connection.exec_driver_sql(
            "UPDATE jobs SET status='starting', handle=NULL, lock_token='dead', lock_expires_at='2999-01-01 00:00:00'"
        )
    await house.open()
    await house.reaches(job_id, "running")
    assert house.processes(job_id) == before
    assert (await house.job(job_id)).attempt == 1


async def test_stop_leaves_no_process_and_wins_over_everything(house: House) -> None:
    await house.open(worker=OBEDIENT)
    job_id = await house.add()
    await house.printed(job_id)
    await house.want("stop")
    await house.want("finish")
    view = await house.reaches(job_id, "cancelled")
    assert house.processes(job_id) == []
    assert view.ended_at is not None
    with pytest.raises(Gone):
        await house.service.heartbeat(job_id, 1, Heartbeat())


async def test_stop_of_a_job_that_waits_for_its_retry_starts_nothing(house: House) -> None:
    await house.open(worker="raise SystemExit(1)")
    job_id = await house.add()
    await house.reaches(job_id, "queued", attempt=1)
    await house.want("stop")
    await house.reaches(job_id, "cancelled", attempt=1)
    assert house.processes(job_id) == []


async def test_finish_is_told_by_heartbeat_and_exit_0_is_success(house: House) -> None:
    flag = house.settings.data_dir / "finish"
    wait = f"while not pathlib.Path({str(flag)!r}).exists(): time.sleep(.01)"
    code = f"import time, pathlib; print('up', flush=True)\n{wait}"
    await house.open(others=code)
    job_id = await house.add(JobRole.POLICY)
    await house.printed(job_id)
    assert await house.service.heartbeat(job_id, 1, Heartbeat(detail="serving")) == "run"
    await house.want("finish")
    assert await house.service.heartbeat(job_id, 1, Heartbeat(detail="serving", policy_version=3)) == "finish"
    flag.touch()
    view = await house.reaches(job_id, "succeeded")
    assert (view.exit_code, view.detail) == (0, "serving")


async def test_exit_0_that_nobody_asked_for_is_retried(house: House) -> None:
    await house.open(worker="print('up', flush=True)")
    job_id = await house.add()
    await house.reaches(job_id, "starting", "running", attempt=2)
    assert "job.retry" in await house.kinds()


async def test_a_silent_job_is_lost_and_its_old_attempt_is_refused(house: House) -> None:
    await house.open()
    job_id = await house.add()
    await house.printed(job_id)
    before = house.processes(job_id)
    await house.service.heartbeat(job_id, 1, Heartbeat(metrics={"tokens_per_s": 1.5, "bad": float("nan")}))
    async with house.db.read() as connection:
        health = (await house.service.list_for_run(connection, "rl-test"))[0]
    assert health.metrics == {"tokens_per_s": 1.5}
    assert health.heartbeat_age_s is not None
    await house.reaches(job_id, "running", attempt=2)
    assert not set(before) & set(house.processes(job_id))
    with pytest.raises(Gone):
        await house.service.heartbeat(job_id, 1, Heartbeat())
    assert await house.service.heartbeat(job_id, 2, Heartbeat()) == "run"


async def test_two_schedulers_do_not_start_a_job_twice(house: House) -> None:
    await house.open()
    await house.open()
    job_id = await house.add()
    await house.printed(job_id)
    await asyncio.sleep(0.2)
    assert len(house.processes(job_id)) == 2
    assert await house.kinds() == ["job.started"]


async def test_shutdown_ends_all_processes_and_the_next_start_resumes_them(house: House) -> None:
    first = await house.open(worker=OBEDIENT)
    job_id = await house.add()
    await house.printed(job_id)
    await first.shutdown()
    assert house.processes(job_id) == []
    view = await house.job(job_id)
    assert (view.status, view.ended_at) == (JobStatus.QUEUED, None)
    await house.open(worker=OBEDIENT)
    await house.reaches(job_id, "running", attempt=2)
