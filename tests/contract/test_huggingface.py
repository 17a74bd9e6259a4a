"""Hugging Face Jobs: what goes wrong, and what exactly is sent; the contract itself is in `test_provider.py`."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from skyscale.errors import Invalid, Unavailable
from skyscale.jobs.loading import load_provider
from skyscale.jobs.provider import JobLaunch, NoCapacity, Provider, Refused, Setup
from skyscale.jobs.rules import Seen
from skyscale.wire.jobs import JobRole
from tests.contract.clouds.hub import NAMESPACE, NO_IMAGE, TOKEN, Hub
from tests.contract.clouds.loopback import serving

OWNER = "0123456789ab"
SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Hub]:
    there = Hub()
    async with serving(there.app()) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("SKYSCALE_HF_NAMESPACE", NAMESPACE)
        yield there
        await there.close()


def provider(folder: Path) -> Provider:
    return load_provider("huggingface", Setup(jobs_dir=folder, owner=OWNER))


def launch(**changes: object) -> JobLaunch:
    fields: dict[str, object] = {
        "job_id": "job-a", "role": JobRole.CUSTOM, "attempt": 1, "command": SLEEP, "url": "https://plane.example",
        "token": "secret", "docker_image": "python:3.12", "timeout_s": 60.0,
    }  # fmt: skip
    return JobLaunch(**(fields | changes))  # pyright: ignore[reportArgumentType]


async def test_what_is_sent_is_what_was_asked_for(hub: Hub, tmp_path: Path) -> None:
    asked = launch(gpu_model="h200:2", env={"MINE": "yes"}, ports=[8000], timeout_s=7200.0, role=JobRole.POLICY)
    handle = await provider(tmp_path).start(asked)
    (job,) = hub.jobs.values()
    assert job.spec["flavor"] == "h200x2"
    assert job.spec["timeoutSeconds"] == 7200
    assert job.spec["expose"] == {"ports": [8000], "portsPublic": [8000]}
    assert job.spec["labels"] == {
        "skyscale": OWNER, "skyscale-job": "job-a", "skyscale-attempt": "1", "name": "job-a-a1"
    }  # fmt: skip
    assert job.spec["environment"] == {}, "variables are secrets: anybody in the namespace can read the others"
    assert job.spec["secrets"]["SKYSCALE_JOB_TOKEN"] == "secret"
    assert job.spec["secrets"]["HF_TOKEN"] == TOKEN, "a run's policy server may need a gated model"
    assert await provider(tmp_path).addresses(handle) == {8000: f"https://{job.id}--8000.hf.jobs"}


async def test_a_custom_job_is_not_given_the_account_s_token(hub: Hub, tmp_path: Path) -> None:
    await provider(tmp_path).start(launch())
    (job,) = hub.jobs.values()
    assert "HF_TOKEN" not in job.spec["secrets"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, Refused),
        (402, Refused),
        (403, Refused),
        (404, Refused),
        (429, NoCapacity),
        (400, Invalid),
        (503, Unavailable),
    ],
)
async def test_each_refusal_has_its_own_error_and_leaves_nothing(
    hub: Hub, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    hub.faults.answer_next_post = (status, "these are the Hub's words")
    with pytest.raises(error) as refusal:
        await provider(tmp_path).start(launch())
    assert type(refusal.value) is error
    assert status == 404 or "these are the Hub's words" in str(refusal.value)
    assert hub.posts == 1
    assert await provider(tmp_path).owned() == []


async def test_a_wrong_token_is_refused_at_once(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(Refused):
        await provider(tmp_path).start(launch())
    with pytest.raises(Refused):
        await provider(tmp_path).poll("0" * 24)
    assert hub.posts == 0


async def test_what_is_missing_is_said_before_anything_is_asked(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SKYSCALE_HF_NAMESPACE")
    assert "SKYSCALE_HF_NAMESPACE" in (provider(tmp_path).missing() or "")
    monkeypatch.delenv("HF_TOKEN")
    assert "HF_TOKEN" in (provider(tmp_path).missing() or "")
    with pytest.raises(Refused, match="HF_TOKEN"):
        await provider(tmp_path).start(launch())


def test_without_the_client_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("SKYSCALE_HF_NAMESPACE", NAMESPACE)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert provider(tmp_path).missing() == "pip install 'skyscale[huggingface]'"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gpu_model": "h100"}, "huggingface has no h100; it has a100"),
        ({"gpu_model": "h200:3"}, "by 1, 2, 4, 8, not 3"),
        ({"gpu_model": "abacus"}, "known are"),
        ({"docker_image": None}, "container images"),
        ({"command": []}, "needs a command"),
        ({"docker_image": "No Such Name"}, "dockerImage"),
    ],
)
async def test_what_can_never_work_is_invalid(hub: Hub, tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        await provider(tmp_path).start(launch(**changes))
    assert hub.jobs == {}


async def test_an_image_that_cannot_be_pulled_ends_the_job_and_its_log_says_why(hub: Hub, tmp_path: Path) -> None:
    there = provider(tmp_path)
    handle = await there.start(launch(docker_image=NO_IMAGE))
    await asyncio.sleep(0.05)
    assert await there.poll(handle) == Seen("exited", 125)
    assert f"Failed to pull image {NO_IMAGE}" in await there.logs("job-a", handle, 4096)


async def test_an_answer_that_was_lost_is_found_and_never_asked_for_twice(hub: Hub, tmp_path: Path) -> None:
    hub.faults.lose_next_reply = True
    with pytest.raises(Unavailable):
        await provider(tmp_path).start(launch())
    handle = await provider(tmp_path).start(launch())
    assert [handle] == list(hub.jobs)
    assert hub.posts == 1


async def test_a_start_whose_caller_hung_up_is_seen_by_find(hub: Hub, tmp_path: Path) -> None:
    hub.faults.slow_post_s = 0.5
    there = provider(tmp_path)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.25):
            await there.start(launch())
    handle = await there.find("job-a", 1)
    assert [handle] == list(hub.jobs)
    await there.stop("job-a", None, 0)
    assert await there.owned() == []


async def test_a_job_that_waits_for_hardware_is_pending_and_can_be_taken_back(hub: Hub, tmp_path: Path) -> None:
    hub.faults.never_schedules = True
    there = provider(tmp_path)
    handle = await there.start(launch())
    assert await there.poll(handle) == Seen("pending")
    await there.stop("job-a", handle, 0)
    assert await there.owned() == []


async def test_a_hub_that_is_down_or_out_of_reach_is_unavailable(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = provider(tmp_path)
    handle = await there.start(launch())
    hub.faults.answer_all = 500
    with pytest.raises(Unavailable, match="500"):
        await there.poll(handle)
    hub.faults.answer_all = None
    assert await there.poll("0" * 24) == Seen("unknown")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    away = provider(tmp_path)
    for call in (away.poll(handle), away.inventory()):
        with pytest.raises(Unavailable, match="does not answer"):
            await call


async def test_more_jobs_than_a_page_are_all_ours(hub: Hub, tmp_path: Path) -> None:
    hub.faults.never_schedules = True
    there = provider(tmp_path)
    for attempt in range(1, 6):
        await there.start(launch(attempt=attempt))
    assert sorted(each.attempt for each in await there.owned()) == [1, 2, 3, 4, 5]


async def test_a_live_log_that_the_hub_holds_open_is_not_waited_for(hub: Hub, tmp_path: Path) -> None:
    hub.faults.hold_s = 30.0
    there = provider(tmp_path)
    handle = await there.start(launch())
    await asyncio.sleep(0.3)
    began = time.monotonic()
    assert "up" in await there.logs("job-a", handle, 4096)
    assert time.monotonic() - began < 20


async def test_prices_are_the_hub_s_of_today(hub: Hub, tmp_path: Path) -> None:
    offers = {offer.gpu_model: offer for offer in await provider(tmp_path).inventory()}
    assert (offers["t4"].usd_per_hour, offers["t4"].memory_gb, offers["t4"].name) == (0.4, 16, "t4-small")
    assert offers["h200"].usd_per_hour == 5.0
