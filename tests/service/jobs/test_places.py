"""Which provider a job goes to: the order, what makes it go on to the next, and what its readers are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from skyscale.errors import Invalid
from skyscale.jobs.places import Places
from skyscale.jobs.provider import Offer, Owned
from skyscale.jobs.reaper import Reaper
from skyscale.jobs.rules import Seen
from skyscale.wire.jobs import JobRole, JobStatus, TrainingJobCreate
from tests.service.jobs.life import Life

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.service.jobs.conftest import House
    from tests.service.jobs.world import Fault


@pytest.fixture
async def life(house: House, tmp_path: Path) -> AsyncGenerator[Life]:
    yield Life(house.db, tmp_path)


@pytest.mark.parametrize("fault", ["full", "refused"])
async def test_a_provider_that_gives_nothing_is_passed_over_with_the_reason(life: Life, fault: Fault) -> None:
    life.near.faults.append(fault)
    await life.add()
    job = await life.until(lambda job: job.facts.status is JobStatus.RUNNING)
    assert (job.view.provider, job.facts.failures) == ("far", 0)
    (passed,) = [event for event in await life.events.list("rl-test") if event.kind == "job.passed_over"]
    assert "near is passed over for trainer: " in passed.message
    assert passed.data["next"] == "far"


async def test_one_that_is_not_ready_is_passed_over_too(life: Life) -> None:
    life.places["near"].needs = "set NEAR_TOKEN"
    await life.add()
    job = await life.until(lambda job: job.facts.status is JobStatus.RUNNING)
    assert job.view.provider == "far"
    assert any("set NEAR_TOKEN" in event.message for event in await life.events.list("rl-test"))


async def test_one_without_the_capacity_is_passed_over_and_the_next_is_asked_for_it(life: Life) -> None:
    far = life.places["far"]
    far.abilities = replace(far.abilities, capacities=frozenset({"preemptible"}))
    await life.add(capacity="preemptible")
    job = await life.until(lambda job: job.facts.status is JobStatus.RUNNING)
    assert (job.view.provider, life.near.starts) == ("far", {})
    assert life.far.live()[0].launch.capacity == "preemptible"
    (passed,) = [event for event in await life.events.list("rl-test") if event.kind == "job.passed_over"]
    assert "near has no preemptible machines without an accelerator" in passed.message


async def test_workers_are_not_held_to_the_capacity_of_the_trainer(life: Life) -> None:
    await life.add(role=JobRole.WORKER, capacity="preemptible")
    await life.until(lambda job: job.facts.status is JobStatus.RUNNING)
    assert life.near.live()[0].launch.capacity is None


@pytest.mark.parametrize(("place", "image"), [("far", "registry/skyscale:1"), ("near", None)])
async def test_jobs_of_a_run_get_the_settings_image_where_images_are_run(
    life: Life, place: str, image: str | None
) -> None:
    life.settings = life.settings.model_copy(update={"job_image": "registry/skyscale:1"})
    near = life.places["near"]
    near.abilities = replace(near.abilities, runs_images=False)
    life.born()
    await life.add(place, JobRole.TRAINER)
    await life.until(lambda job: job.facts.status is JobStatus.RUNNING)
    account = life.far if place == "far" else life.near
    assert account.live()[0].launch.docker_image == image


@pytest.mark.parametrize(
    ("provider", "gpu_model", "capacity"),
    [
        ("near", "cpu", "preemptible"), ("auto", "cpu", "preemptible"), ("far", "h100", "on_demand"),
        ("far", "cpu", "preemptible"),
    ],
)  # fmt: skip
async def test_a_job_that_nobody_has_the_capacity_for_is_refused(
    life: Life, provider: str, gpu_model: str, capacity: str
) -> None:
    far = life.places["far"]
    far.abilities = replace(far.abilities, gpu_capacities=frozenset({"preemptible"}))
    body = {"command": ["true"], "provider": provider, "gpu_model": gpu_model, "capacity": capacity}
    with pytest.raises(Invalid, match=r"has no (preemptible|on-demand)") as refusal:
        await life.service.create_custom(TrainingJobCreate.model_validate(body))
    assert refusal.value.code == "capacity_not_offered"


async def test_a_queue_that_is_too_long_is_left(life: Life) -> None:
    life.near.first = "pending"
    await life.add()
    job = await life.until(lambda job: job.view.provider == "far" and job.facts.status is JobStatus.RUNNING)
    assert life.near.live() == []
    assert "kept it waiting for 60 s" in (await life.events.list("rl-test"))[1].message
    assert job.facts.failures == 0


async def test_when_all_are_full_it_begins_again_and_fails_at_the_queue_deadline(life: Life) -> None:
    life.near.faults.extend(["full"] * 99)
    life.far.faults.extend(["full"] * 99)
    job_id, began = await life.add(), life.now
    while (await life.service.detail(job_id)).job.status is not JobStatus.FAILED:
        await life.look()
        assert life.now - began < timedelta(seconds=600)
    view = (await life.service.detail(job_id)).job
    assert view.reason == "could not be started on far: nothing is free"
    assert timedelta(seconds=50) < life.now - began
    assert (await life.told()).count("job.passed_over") == 10


async def test_a_named_provider_is_the_only_one_asked(life: Life) -> None:
    life.near.faults.append("full")
    await life.add("near")
    job = await life.until(lambda job: job.facts.status is JobStatus.RUNNING)
    assert (job.view.provider, job.facts.failures) == ("near", 1)


async def test_a_start_that_nobody_answers_for_is_given_up_and_reaped(life: Life) -> None:
    life.near.faults.extend(["after", *["silent"] * 40])  # type: ignore[list-item]
    job_id = await life.add()
    for _ in range(17):
        await life.scheduler.look()
        await life.scheduler.stop()
        life.now += timedelta(seconds=10)
    job = await life.job()
    assert (job.view.provider, job.facts.status) == ("far", JobStatus.RUNNING)
    assert (await life.told()).count("job.unanswered") == 1
    life.near.faults.clear()
    times = iter([0.0, 60.0, 121.0])
    reaper = Reaper(database=life.db, providers=life.places, grace_s=120, monotonic=lambda: now[0])
    now = [next(times)]
    assert await reaper.look() == []
    for later in times:
        now[0] = later
        ended = await reaper.look()
    assert [(each.job_id, each.attempt) for each in ended] == [(job_id, 1)]
    assert life.near.live() == []
    life.check()


async def test_a_stop_is_asked_for_until_the_provider_confirms_it(life: Life) -> None:
    job_id = await life.add("near")
    await life.until(lambda job: job.facts.status is JobStatus.RUNNING)
    await life.want("stop")
    life.near.faults.extend(["silent", "silent"])
    await life.look()
    view = (await life.service.detail(job_id)).job
    assert (view.status, view.reason) == (JobStatus.RUNNING, "near does not confirm its end: no answer")
    await life.look()
    await life.look()
    assert (await life.service.detail(job_id)).job.status is JobStatus.CANCELLED
    assert life.near.live() == []
    assert (await life.told()).count("job.unanswered") == 1


async def test_a_control_plane_that_starts_adopts_what_lives_at_every_provider(life: Life) -> None:
    life.near.first = "pending"
    await life.add("near", JobRole.POLICY)
    await life.add("far", JobRole.TRAINER)
    await life.look()
    await life.look()
    life.born()
    await life.scheduler.start()
    await life.scheduler.stop()
    (waiting,) = life.near.live()
    waiting.seen = Seen("running")
    await life.look()
    async with life.db.read() as connection:
        views = await life.service.views_for_run(connection, "rl-test")
    assert {(view.provider, view.attempt, view.status) for view in views} == {
        ("near", 1, JobStatus.RUNNING), ("far", 1, JobStatus.RUNNING),
    }  # fmt: skip
    assert (await life.told()).count("job.adopted") == 2


async def test_whoever_lets_us_choose_gets_the_accelerator_and_not_the_first_host(life: Life) -> None:
    life.places["far"].offers = [Offer(gpu_model="a100-80", name="A100", memory_gb=80, usd_per_hour=None)]
    await life.add(gpu="a100:2")
    job = await life.until(lambda job: job.facts.status is JobStatus.RUNNING)
    assert job.view.provider == "far"


async def test_what_is_started_carries_a_hard_limit_and_asks_for_what_it_needs(life: Life) -> None:
    await life.add("near", JobRole.TRAINER, "a100:2")
    await life.until(lambda job: job.facts.status is JobStatus.RUNNING)
    await life.service.create_custom(TrainingJobCreate(command=["x"], provider="far", timeout_s=100))
    await life.look()
    (trainer,), (custom,) = life.near.live(), life.far.live()
    assert (trainer.launch.cpus, trainer.launch.memory_mb, trainer.launch.gpu_model) == (16.0, 131072, "a100:2")
    assert trainer.launch.timeout_s >= 86400
    assert custom.launch.timeout_s == 160


async def test_those_who_run_elsewhere_need_a_public_url_and_a_shared_store(life: Life) -> None:
    far = life.places["far"]
    far.abilities = replace(far.abilities, is_remote=True)
    closed = Places(providers=life.places, order=["near", "far"])
    with pytest.raises(Invalid, match="SKYSCALE_JOB_URL"):
        closed.check("far")
    with pytest.raises(Invalid, match="S3_BUCKET"):
        replace(closed, is_public=True).check("far")
    replace(closed, is_public=True, is_store_shared=True).check("far")
    closed.check("auto")
    closed.check("far", is_of_run=False)
    with pytest.raises(Invalid, match="no provider 'moon'"):
        closed.check("moon")
    with pytest.raises(Invalid, match="no provider 'moon'"):
        Places(providers=life.places, order=["near", "moon"])


async def test_silence_is_no_evidence_of_an_orphan(life: Life) -> None:
    await life.add("near")
    await life.look()
    stray = replace(life.near.live()[0], job_id="job-stray")
    life.near.boxes["stray"] = stray
    reaper = Reaper(database=life.db, providers=life.places, grace_s=0, monotonic=lambda: 1.0)
    assert await reaper.look() == []
    assert await reaper.look() == [Owned("job-stray", 1, '["near", "stray"]')]
    assert [box.job_id for box in life.near.live()] == ["job-trainer-test-0"]
