"""Akash: what goes wrong, and what exactly is sent; the contract itself is in `test_provider.py`."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from skyscale.errors import Invalid, Unavailable
from skyscale.jobs.loading import load_provider
from skyscale.jobs.provider import JobLaunch, NoCapacity, Provider, Refused, Setup
from skyscale.jobs.providers.akash.provider import AkashProvider
from skyscale.jobs.rules import Seen
from skyscale.wire.jobs import JobRole
from tests.contract.clouds.akash import KEY, NO_IMAGE, PROVIDERS, Akash
from tests.contract.clouds.loopback import serving

OWNER = "0123456789ab"
SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
A, B, C = PROVIDERS


@pytest.fixture
async def network(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Akash]:
    there = Akash()
    async with serving(there.app()) as url:
        monkeypatch.setenv("AKASH_API_URL", url)
        monkeypatch.setenv("AKASH_PROXY_URL", f"{url}/ws")
        monkeypatch.setenv("AKASH_API_KEY", KEY)
        monkeypatch.setenv("AKASH_BID_WAIT_S", "0.5")
        monkeypatch.setattr(AkashProvider, "pace_s", 0.05)
        monkeypatch.setattr(AkashProvider, "look_s", 0.05)
        yield there
        await there.close()


def provider(folder: Path) -> Provider:
    return load_provider("akash", Setup(jobs_dir=folder, owner=OWNER))


def launch(**changes: object) -> JobLaunch:
    fields: dict[str, object] = {
        "job_id": "job-a", "role": JobRole.CUSTOM, "attempt": 1, "command": SLEEP, "url": "https://plane.example",
        "token": "secret", "docker_image": "python:3.12", "timeout_s": 60.0,
    }  # fmt: skip
    return JobLaunch(**(fields | changes))  # pyright: ignore[reportArgumentType]


def active(network: Akash) -> list[str]:
    return [each.dseq for each in network.deployments.values() if each.state == "active"]


async def seen(there: Provider, handle: str, state: str) -> Seen:
    for _ in range(200):
        found = await there.poll(handle)
        if found.state == state:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"it was never {state}")


async def test_what_is_sent_is_what_was_asked_for(network: Akash, tmp_path: Path) -> None:
    there = provider(tmp_path)
    asked = launch(
        gpu_model="a100-80:2", env={"MINE": "yes"}, ports=[8000], timeout_s=5400.0, cpus=8.0, memory_mb=65536,
        role=JobRole.POLICY,
    )  # fmt: skip
    handle = await there.start(asked)
    (made,) = network.deployments.values()
    service, resources = made.sdl["services"]["job"], made.sdl["profiles"]["compute"]["job"]["resources"]
    assert made.name == f"skyscale/{OWNER}/job-a/1"
    assert made.hours == 2
    assert service["args"] == SLEEP
    assert {"MINE=yes", "SKYSCALE_JOB_TOKEN=secret", "SKYSCALE_JOB_ID=job-a"} <= set(service["env"])
    assert not [line for line in service["env"] if line.startswith("HF_TOKEN")], (
        "the provider's machine is a stranger's"
    )
    assert resources["cpu"] == {"units": 8.0}
    assert resources["memory"] == {"size": "65536Mi"}
    assert resources["gpu"]["units"] == 2
    assert resources["gpu"]["attributes"]["vendor"]["nvidia"] == [{"model": "a100", "ram": "80Gi"}]
    assert made.sdl["profiles"]["placement"]["any"]["pricing"]["job"] == {"denom": "uact", "amount": 13334}
    await seen(there, handle, "running")
    assert await there.addresses(handle) == {8000: "http://gateway.example:30000"}


async def test_any_accelerator_is_a_list_of_all_that_would_do(network: Akash, tmp_path: Path) -> None:
    await provider(tmp_path).start(launch(gpu_model="any"))
    (made,) = network.deployments.values()
    gpu = made.sdl["profiles"]["compute"]["job"]["resources"]["gpu"]
    assert {"h100", "rtx4090"} <= {each["model"] for each in gpu["attributes"]["vendor"]["nvidia"]}


async def test_the_cheapest_bid_within_the_limit_is_taken(network: Akash, tmp_path: Path) -> None:
    await provider(tmp_path).start(launch())
    (made,) = network.deployments.values()
    assert made.provider == B


async def test_when_the_cheapest_is_gone_or_dead_the_next_one_is_taken(network: Akash, tmp_path: Path) -> None:
    network.faults.late_providers = {B}
    await provider(tmp_path).start(launch())
    network.faults.late_providers, network.faults.dead_providers = set(), {B}
    await provider(tmp_path).start(launch(attempt=2))
    assert [each.provider for each in network.deployments.values()] == [A, A]


async def test_bids_above_the_limit_are_no_capacity_and_leave_nothing(
    network: Akash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AKASH_MAX_USD_PER_HOUR", "0.01")
    with pytest.raises(NoCapacity, match=r"3 bids were above 0\.01 \$/h"):
        await provider(tmp_path).start(launch())
    assert active(network) == []


async def test_no_bids_and_no_bid_that_holds_are_no_capacity_and_leave_nothing(network: Akash, tmp_path: Path) -> None:
    network.faults.no_bids = True
    with pytest.raises(NoCapacity, match="nobody can be had"):
        await provider(tmp_path).start(launch())
    network.faults.no_bids, network.faults.late_providers = False, {A, B}
    with pytest.raises(NoCapacity, match="no longer open"):
        await provider(tmp_path).start(launch())
    assert active(network) == []
    assert await provider(tmp_path).find("job-a", 1) is None, "what never had a lease never was a job"


@pytest.mark.parametrize(
    ("status", "words", "error"),
    [
        (401, "Unauthorized", Refused),
        (402, "Not enough credits", Refused),
        (400, "Insufficient balance", Refused),
        (429, "Too many requests", NoCapacity),
        (400, "Invalid SDL: nope", Invalid),
        (503, "key management", Unavailable),
    ],
)
async def test_each_refusal_has_its_own_error_and_leaves_nothing(
    network: Akash, tmp_path: Path, status: int, words: str, error: type[Exception]
) -> None:
    network.faults.answer_next["POST /v1/deployments"] = (status, words)
    with pytest.raises(error) as refusal:
        await provider(tmp_path).start(launch())
    assert type(refusal.value) is error
    assert words in str(refusal.value)
    assert network.deployments == {}


async def test_a_malformed_sdl_is_refused_with_the_network_s_words(network: Akash, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="Invalid SDL: 'Not An Image'"):
        await provider(tmp_path).start(launch(docker_image="Not An Image"))
    assert network.deployments == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gpu_model": "a10g"}, "akash has no a10g; it has a100"),
        ({"gpu_model": "abacus"}, "known are"),
        ({"docker_image": None}, "container images"),
        ({"command": []}, "needs a command"),
    ],
)
async def test_what_can_never_work_is_invalid(
    network: Akash, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        await provider(tmp_path).start(launch(**changes))
    assert network.deployments == {}


async def test_a_wrong_key_and_none_are_refused(
    network: Akash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AKASH_API_KEY", "wrong")
    with pytest.raises(Refused, match="401"):
        await provider(tmp_path).start(launch())
    monkeypatch.delenv("AKASH_API_KEY")
    assert "AKASH_API_KEY" in (provider(tmp_path).missing() or "")
    with pytest.raises(Refused, match="AKASH_API_KEY"):
        await provider(tmp_path).owned()


async def test_a_network_out_of_reach_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AKASH_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AKASH_API_KEY", KEY)
    there = provider(tmp_path)
    for call in (there.start(launch()), there.poll('["1", "job-a", 1]'), there.owned(), there.stop("job-a", None, 0)):
        with pytest.raises(Unavailable, match="does not answer"):
            await call


async def test_a_console_that_is_down_is_unavailable_and_changes_nothing(network: Akash, tmp_path: Path) -> None:
    there = provider(tmp_path)
    handle = await there.start(launch())
    network.faults.answer_all = 502
    for call in (there.poll(handle), there.stop("job-a", handle, 0)):
        with pytest.raises(Unavailable, match="502"):
            await call
    network.faults.answer_all = None
    assert (await seen(there, handle, "running")).state == "running"


async def test_a_lease_whose_answer_was_lost_is_kept_and_taken_once(network: Akash, tmp_path: Path) -> None:
    network.faults.deaf_after_lease = 1
    handle = await provider(tmp_path).start(launch())
    assert await provider(tmp_path).start(launch()) == handle, "the same attempt is adopted"
    assert network.leases_made == 1
    assert len(network.deployments) == 1


async def test_a_start_whose_caller_hung_up_is_seen_by_find(network: Akash, tmp_path: Path) -> None:
    network.faults.slow_create_s = 0.5
    there = provider(tmp_path)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.25):
            await there.start(launch())
    assert await there.find("job-a", 1) is not None
    await there.stop("job-a", None, 0)
    assert active(network) == []


async def test_a_deployment_that_nobody_leased_is_closed_by_the_next_start(network: Akash, tmp_path: Path) -> None:
    network.faults.no_bids = True
    network.faults.answer_next["GET /v1/bids"] = (500, "down")
    with pytest.raises(Unavailable):
        await provider(tmp_path).start(launch())
    network.faults.no_bids = False
    await provider(tmp_path).start(launch())
    assert len(active(network)) == 1


async def test_an_image_that_cannot_be_pulled_ends_the_job_and_its_log_says_why(network: Akash, tmp_path: Path) -> None:
    there = provider(tmp_path)
    handle = await there.start(launch(docker_image=NO_IMAGE))
    assert await seen(there, handle, "exited") == Seen("exited", 125)
    await there.stop("job-a", handle, 0)
    assert f'Failed to pull image "{NO_IMAGE}"' in await there.logs("job-a", handle, 4096)
    assert await there.poll(handle) == Seen("exited", 125)


async def test_what_the_network_closes_is_seen_and_its_provider_is_not_asked_again(
    network: Akash, tmp_path: Path
) -> None:
    there = provider(tmp_path)
    handle = await there.start(launch())
    await seen(there, handle, "running")
    (dseq,) = active(network)
    await network.expire(dseq)
    assert await there.poll(handle) == Seen("exited", 137)
    await there.start(launch(attempt=2))
    assert [each.provider for each in network.deployments.values()] == [B, A]


async def test_how_it_ended_and_what_it_printed_outlive_the_lease(network: Akash, tmp_path: Path) -> None:
    there = provider(tmp_path)
    handle = await there.start(launch(command=[sys.executable, "-c", "print('words'); raise SystemExit(7)"]))
    await seen(there, handle, "exited")
    await there.stop("job-a", handle, 0)
    assert await provider(tmp_path).poll(handle) == Seen("exited", 7)
    assert (await provider(tmp_path).logs("job-a", handle, 4096)).splitlines()[1:] == ["words"]


async def test_an_account_with_too_many_deployments_to_search_is_looked_through(network: Akash, tmp_path: Path) -> None:
    there = provider(tmp_path)
    for attempt in (1, 2, 3):
        await there.start(launch(attempt=attempt))
    network.faults.no_search = True
    assert sorted(each.attempt for each in await there.owned()) == [1, 2, 3]
    assert await there.find("job-a", 2) is not None


async def test_the_inventory_is_the_network_s(network: Akash, tmp_path: Path) -> None:
    (offer,) = await provider(tmp_path).inventory()
    assert (offer.gpu_model, offer.name, offer.memory_gb) == ("h100", "h100 SXM5", 80)
    assert (offer.usd_per_hour, offer.total, offer.available) == (1.75, 16, 5)
