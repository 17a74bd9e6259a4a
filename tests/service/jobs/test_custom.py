"""Custom jobs from request to log, through the real scheduler."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from skyscale.errors import BadRequest, Conflict, Invalid, NotFound
from skyscale.jobs import queries
from skyscale.jobs.queries import JobFilter
from skyscale.jobs.templates import TEMPLATES
from skyscale.wire.jobs import JobRole, JobStatus, TrainingJobCreate

if TYPE_CHECKING:
    from tests.service.jobs.conftest import House

SLEEP = "import time; print('up', flush=True); time.sleep(60)"


def body(code: str, **more: object) -> TrainingJobCreate:
    return TrainingJobCreate(command=[sys.executable, "-c", code], **more)  # pyright: ignore[reportArgumentType]


async def test_a_custom_job_runs_to_its_end_and_its_log_is_kept(house: House) -> None:
    await house.open()
    created = await house.service.create_custom(body("import os; print('x=' + os.environ['X'])", env_vars={"X": "42"}))
    assert (created.status, created.execution_id) == (JobStatus.QUEUED, f"exec-{created.job_id}")
    view = await house.reaches(created.job_id, "succeeded")
    assert (view.role, view.exit_code, view.attempt, view.run_id) == (JobRole.CUSTOM, 0, 1, None)
    assert "x=42\n" in (await house.service.detail(created.job_id)).logs
    async with house.db.read() as connection:
        kept = await queries.get(connection, created.job_id)
    assert kept is not None
    assert "42" not in str(kept.request), "variables are forgotten when the job has ended"


async def test_the_same_body_is_the_same_job_and_another_body_is_refused(house: House) -> None:
    await house.open()
    first = await house.service.create_custom(body("print(1)", job_id="job-mine"))
    await house.reaches(first.job_id, "succeeded")
    again = await house.service.create_custom(body("print(1)", job_id="job-mine"))
    assert (again.job_id, again.status) == ("job-mine", JobStatus.SUCCEEDED)
    with pytest.raises(Conflict):
        await house.service.create_custom(body("print(2)", job_id="job-mine"))


async def test_a_failing_command_is_tried_as_often_as_asked(house: House) -> None:
    await house.open()
    created = await house.service.create_custom(body("raise SystemExit(3)", max_attempts=2))
    view = await house.reaches(created.job_id, "failed")
    assert (view.attempt, view.exit_code, view.reason) == (2, 3, "exit code 3")


async def test_a_timeout_ends_the_job_and_its_processes(house: House) -> None:
    await house.open()
    created = await house.service.create_custom(body(SLEEP, timeout_s=0.5, max_attempts=3))
    view = await house.reaches(created.job_id, "failed")
    assert view.reason == "stopped after its timeout of 0.5 s: up"
    assert view.attempt == 1
    assert house.processes(created.job_id) == []


async def test_cancel_ends_it_and_may_be_repeated(house: House) -> None:
    await house.open()
    created = await house.service.create_custom(body(SLEEP))
    await house.printed(created.job_id)
    await house.service.cancel(created.job_id)
    await house.reaches(created.job_id, "cancelled")
    assert house.processes(created.job_id) == []
    assert (await house.service.cancel(created.job_id)).status is JobStatus.CANCELLED


async def test_a_job_of_a_run_is_not_cancelled_by_itself(house: House) -> None:
    with pytest.raises(Conflict, match="rl-test"):
        await house.service.cancel(await house.add())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"provider": "moon", "command": ["true"]}, "moon"),
        ({"docker_image": "busybox"}, "command"),
        ({"command": ["true"], "job_id": "job-worker-abc-0"}, "prefix"),
        ({"command": ["a\0b"]}, "NUL"),
        ({"command": ["true"], "env_vars": {"A=B": "1"}}, "env_vars"),
    ],
)
async def test_what_cannot_run_is_refused(house: House, wrong: dict[str, object], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        await house.service.create_custom(TrainingJobCreate.model_validate(wrong))


async def test_jobs_are_listed_newest_first_in_pages(house: House) -> None:
    await house.add()
    ids = [(await house.service.create_custom(body("0", job_id=f"job-page-{n}"))).job_id for n in range(3)]
    first = await house.service.list(limit=2)
    assert [job.job_id for job in first.jobs] == [ids[2], ids[1]]
    second = await house.service.list(cursor=first.next_cursor, limit=2)
    assert [job.job_id for job in second.jobs] == [ids[0], "job-worker-test-0"]
    assert second.next_cursor is None
    of_run = await house.service.list(JobFilter(run_id="rl-test", role=JobRole.WORKER, status=JobStatus.QUEUED))
    assert [job.job_id for job in of_run.jobs] == ["job-worker-test-0"]
    with pytest.raises(BadRequest):
        await house.service.list(cursor="x")
    with pytest.raises(NotFound):
        await house.service.detail("job-none")


async def test_an_assignment_tells_a_job_all_it_needs(house: House) -> None:
    job_id = await house.add(JobRole.TRAINER)
    assignment = await house.service.assignment(job_id)
    assert (assignment.run_id, assignment.role, assignment.attempt) == ("rl-test", JobRole.TRAINER, 0)
    assert assignment.artifact_root == house.settings.artifact_root
    custom = await house.service.create_custom(body("0"))
    with pytest.raises(Conflict):
        await house.service.assignment(custom.job_id)


async def test_the_first_template_runs_in_the_control_planes_own_python(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # of a service that activates no virtual environment
    await house.open()
    (template,) = [each for each in TEMPLATES if each.name == "command"]
    command = ["python", "-c", "import sys; print(sys.prefix)"]
    created = await house.service.create_custom(template.body.model_copy(update={"command": command}))
    await house.reaches(created.job_id, "succeeded")
    assert f"{sys.prefix}\n" in (await house.service.detail(created.job_id)).logs
