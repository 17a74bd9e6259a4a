"""Modal: what goes wrong, and what exactly is sent; the contract itself is in `test_provider.py`."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from grpclib import Status

from skyscale.errors import Invalid, Unavailable
from skyscale.jobs.capacity import gives
from skyscale.jobs.loading import load_provider
from skyscale.jobs.provider import JobLaunch, NoCapacity, Provider, Refused, Setup
from skyscale.jobs.providers.modal.provider import END_ALL, ModalProvider
from skyscale.jobs.rules import Seen
from skyscale.wire.jobs import JobRole
from tests.contract.clouds import modal_cloud
from tests.contract.clouds.modal_cloud import NO_IMAGE, TOKEN_ID, TOKEN_SECRET, Modal, S

OWNER = "0123456789ab"
SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]


@pytest.fixture
async def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncGenerator[Modal]:
    there = Modal()
    await there.start()
    monkeypatch.setenv("MODAL_SERVER_URL", there.url)
    monkeypatch.setenv("MODAL_CONFIG_PATH", str(tmp_path / "none.toml"))
    monkeypatch.setenv("MODAL_TOKEN_ID", TOKEN_ID)
    monkeypatch.setenv("MODAL_TOKEN_SECRET", TOKEN_SECRET)
    yield there
    await there.close()


def provider(folder: Path) -> Provider:
    return load_provider("modal", Setup(jobs_dir=folder, owner=OWNER))


def launch(**changes: object) -> JobLaunch:
    fields: dict[str, object] = {
        "job_id": "job-a", "role": JobRole.CUSTOM, "attempt": 1, "command": SLEEP, "url": "https://plane.example",
        "token": "secret", "docker_image": "python:3.12", "timeout_s": 60.0,
    }  # fmt: skip
    return JobLaunch(**(fields | changes))  # pyright: ignore[reportArgumentType]


def live(cloud: Modal) -> list[str]:
    return [box.id for box in cloud.boxes.values() if not box.status]


@pytest.mark.parametrize("gpu_model", ["cpu", "h100:2"])
async def test_what_is_sent_is_what_was_asked_for(
    cloud: Modal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu_model: str
) -> None:
    monkeypatch.setenv("SKYSCALE_MODAL_SECRETS", "huggingface")
    there = provider(tmp_path)
    asked = launch(
        gpu_model=gpu_model, env={"MINE": "yes"}, ports=[8000], timeout_s=7200.0, cpus=4.0, memory_mb=8192,
        role=JobRole.POLICY,
    )  # fmt: skip
    handle = await there.start(asked)
    (box,) = cloud.boxes.values()
    sent = box.definition
    assert list(sent.entrypoint_args) == SLEEP
    assert sent.name == "job-a-a1"
    assert sent.timeout_secs == 7200
    assert (sent.resources.milli_cpu, sent.resources.memory_mb) == (4000, 8192)
    assert (sent.resources.gpu_config.gpu_type, sent.resources.gpu_config.count) == (
        ("H100!", 2) if gpu_model != "cpu" else ("", 0)
    )
    assert box.tags == {"skyscale": OWNER, "skyscale-job": "job-a", "skyscale-attempt": "1"}
    assert {"MINE": "yes", "SKYSCALE_JOB_TOKEN": "secret", "HF_TOKEN": "hf_of_modal"}.items() <= box.env.items()
    assert any("ENTRYPOINT []" in line for line in cloud.images[sent.image_id]), (
        "an image's own would swallow the command"
    )
    assert await there.addresses(handle) == {8000: f"https://{box.id.lower()}-8000.modal.host"}


async def test_a_custom_job_is_not_given_runs_secrets_and_no_job_outlives_modal_s_day(
    cloud: Modal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKYSCALE_MODAL_SECRETS", "huggingface")
    await provider(tmp_path).start(launch(timeout_s=1e6))
    (box,) = cloud.boxes.values()
    assert "HF_TOKEN" not in box.env
    assert box.definition.timeout_secs == 86400


async def test_a_wrong_token_is_refused(cloud: Modal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "wrong")
    with pytest.raises(Refused, match="Token validation failed"):
        await provider(tmp_path).start(launch())
    with pytest.raises(Refused):
        await provider(tmp_path).inventory()


async def test_what_is_missing_is_said_before_anything_is_asked(
    cloud: Modal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "modal", None)
        assert provider(tmp_path).missing() == "pip install 'skyscale[modal]'"
    monkeypatch.delenv("MODAL_TOKEN_ID")
    assert "MODAL_TOKEN_ID" in (provider(tmp_path).missing() or "")
    with pytest.raises(Refused, match="MODAL_TOKEN_ID"):
        await provider(tmp_path).start(launch())
    assert cloud.calls == []


@pytest.mark.parametrize(
    ("status", "words", "error"),
    [
        (Status.RESOURCE_EXHAUSTED, "GPU quota of the workspace", NoCapacity),
        (Status.PERMISSION_DENIED, "not in this workspace", Refused),
        (Status.FAILED_PRECONDITION, "the workspace is out of credit", Unavailable),
        (Status.INVALID_ARGUMENT, "region is unknown", Invalid),
    ],
)
async def test_each_refusal_has_its_own_error_and_leaves_nothing(
    cloud: Modal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: Status, words: str, error: type[Exception]
) -> None:
    monkeypatch.setenv("MODAL_MAX_THROTTLE_WAIT", "0")
    cloud.faults.fail["SandboxCreateV2"] = (status, words)
    with pytest.raises(error, match=words) as refusal:
        await provider(tmp_path).start(launch())
    assert isinstance(refusal.value, error)
    assert cloud.boxes == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gpu_model": "rtx4090"}, "modal has no rtx4090; it has a100"),
        ({"gpu_model": "a10g:8"}, "at most 4 a10g"),
        ({"gpu_model": "abacus"}, "known are"),
        ({"docker_image": None}, "container images"),
        ({"command": []}, "needs a command|a command"),
        ({"docker_image": NO_IMAGE}, "manifest unknown"),
        ({"command": ["echo", "x" * 70_000]}, "length of CMD"),
    ],
)
async def test_what_can_never_work_is_invalid(
    cloud: Modal, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        await provider(tmp_path).start(launch(**changes))
    assert cloud.boxes == {}


async def test_a_secret_that_modal_does_not_have_is_named(
    cloud: Modal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKYSCALE_MODAL_SECRETS", "huggingface, none-such")
    with pytest.raises(Invalid, match="none-such"):
        await provider(tmp_path).start(launch(role=JobRole.TRAINER))
    assert cloud.boxes == {}


async def test_an_answer_that_was_lost_is_found_and_never_asked_for_twice(cloud: Modal, tmp_path: Path) -> None:
    cloud.faults.lose_replies = 4
    with pytest.raises(Unavailable):
        await provider(tmp_path).start(launch())
    handle = await provider(tmp_path).start(launch())
    assert handle.partition("/")[0] in cloud.boxes
    assert (cloud.creations, len(live(cloud))) == (1, 1)


async def test_a_lost_answer_that_the_client_asks_for_again_is_one_sandbox(cloud: Modal, tmp_path: Path) -> None:
    cloud.faults.lose_replies = 2
    await provider(tmp_path).start(launch())
    assert cloud.creations == 1


async def test_two_control_planes_that_start_one_attempt_get_one_sandbox(cloud: Modal, tmp_path: Path) -> None:
    cloud.faults.slow_create_s = 0.2
    one, other = await asyncio.gather(
        provider(tmp_path).start(launch()), provider(tmp_path).start(launch()), return_exceptions=True
    )
    started = {handle for handle in (one, other) if isinstance(handle, str)}
    assert len(started) == 1
    assert len(live(cloud)) == cloud.creations == 1


async def test_a_start_whose_caller_hung_up_is_seen_by_find(cloud: Modal, tmp_path: Path) -> None:
    cloud.faults.slow_create_s = 0.6
    there = provider(tmp_path)
    await there.inventory()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await there.start(launch())
    assert await there.find("job-a", 1) is not None
    await there.stop("job-a", None, 0)
    assert live(cloud) == []


async def test_a_gpu_that_is_not_to_be_had_is_taken_back(
    cloud: Modal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModalProvider, "capacity_s", 1.0)
    cloud.faults.no_room = True
    with pytest.raises(NoCapacity, match="no H100! for 1 s"):
        await provider(tmp_path).start(launch(gpu_model="h100"))
    assert cloud.creations == 1
    assert live(cloud) == []


async def test_a_preempted_sandbox_is_an_end_and_a_forgotten_one_unknown(cloud: Modal, tmp_path: Path) -> None:
    there = provider(tmp_path)
    handle = await there.start(launch(gpu_model="t4"))
    assert await there.poll(handle) == Seen("running")
    (box,) = cloud.boxes.values()
    box.status = S.GENERIC_STATUS_TERMINATED
    assert await there.poll(handle) == Seen("exited", 137)
    box.status = S.GENERIC_STATUS_INTERNAL_FAILURE
    seen = await provider(tmp_path).poll(handle)
    assert seen.state == "exited"
    assert seen.code != 0, "a failure of Modal's is not a success of the job"
    await cloud.boxes.pop(box.id).container.close()
    assert await there.poll(handle) == Seen("unknown")
    await there.stop("job-a", handle, 0)
    assert await there.addresses(handle) == {}


async def test_a_container_that_cannot_be_asked_is_terminated_all_the_same(cloud: Modal, tmp_path: Path) -> None:
    cloud.faults.deaf_exec = True
    there = provider(tmp_path)
    handle = await there.start(launch(gpu_model="t4"))
    await there.stop("job-a", handle, 0.3)
    assert await there.poll(handle) == Seen("exited", 137)
    assert list(END_ALL) == modal_cloud.END_ALL


async def test_a_modal_that_is_down_or_out_of_reach_is_unavailable_in_time(
    cloud: Modal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = provider(tmp_path)
    handle = await there.start(launch())
    cloud.faults.fail["SandboxWaitV2"] = (Status.UNAVAILABLE, "the backend is down")
    with pytest.raises(Unavailable):
        await there.poll(handle)
    cloud.faults.fail.clear()
    assert await there.poll(handle) == Seen("running")
    monkeypatch.setenv("MODAL_SERVER_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(ModalProvider, "ask_s", 1.0)
    with pytest.raises(Unavailable, match="does not answer"):
        await provider(tmp_path).poll(handle)


async def test_more_sandboxes_than_a_page_are_all_ours(cloud: Modal, tmp_path: Path) -> None:
    there = provider(tmp_path)
    for attempt in range(1, 6):
        await there.start(launch(attempt=attempt, gpu_model="t4" if attempt % 2 else "cpu"))
    assert sorted(each.attempt for each in await there.owned()) == [1, 2, 3, 4, 5]


async def test_the_inventory_is_the_price_list(cloud: Modal, tmp_path: Path) -> None:
    offers = {offer.gpu_model: offer for offer in await provider(tmp_path).inventory()}
    assert (offers["h100"].name, offers["h100"].memory_gb, offers["h100"].usd_per_hour) == ("H100!", 80, 3.95)


def test_accelerators_may_be_taken_away_and_other_machines_may_not(tmp_path: Path) -> None:
    able = provider(tmp_path).abilities
    assert [gives(able, "on_demand", "cpu"), gives(able, "preemptible", "cpu")] == [True, False]
    assert [gives(able, "on_demand", "h100"), gives(able, "preemptible", "h100")] == [False, True]
    assert gives(able, None, "h100")
    assert gives(able, None, "cpu")
