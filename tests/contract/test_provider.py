"""One suite for every provider: what the scheduler relies on, with real commands."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from skyscale.errors import Invalid, Unavailable
from skyscale.jobs.loading import PROVIDERS, load_provider
from skyscale.jobs.provider import JobLaunch, Provider, Setup
from skyscale.jobs.rules import Seen
from skyscale.wire.jobs import JobRole
from tests.contract.provider_homes import HOMES, OWNER, SLOW, Home

JOB = "job-under-test"
IMAGE = "skyscale/jobs:1"
"""For providers that run one; each holds what this host holds."""
SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
MISSED = "it did not come to pass in time"


def launch(code: str, attempt: int = 1, **env: str) -> JobLaunch:
    return command([sys.executable, "-c", code], attempt, env)


def command(words: list[str], attempt: int, env: dict[str, str]) -> JobLaunch:
    return JobLaunch(
        job_id=JOB, role=JobRole.CUSTOM, attempt=attempt, command=words, url="http://127.0.0.1:1", token="secret",
        env=env, timeout_s=50, docker_image=IMAGE,
    )  # fmt: skip


async def until(check: Callable[[], Awaitable[bool]], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not await check():
        assert time.monotonic() < deadline, MISSED
        await asyncio.sleep(0.01)


async def ended(provider: Provider, handle: str) -> Seen:
    async def has_ended() -> bool:
        return (await provider.poll(handle)).state not in ("pending", "running")

    await until(has_ended)
    return await provider.poll(handle)


async def printed(provider: Provider, handle: str, text: str) -> None:
    async def has_printed() -> bool:
        return text in await provider.logs(JOB, handle, 65536)

    await until(has_printed)


@pytest.fixture(params=[pytest.param(name, marks=SLOW.get(name, ())) for name in sorted(HOMES)])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Home]:
    async with HOMES[request.param](tmp_path) as found:
        yield found


@pytest.fixture
async def provider(home: Home) -> AsyncGenerator[Provider]:
    made = home.make()
    assert made.missing() is None
    yield made
    await made.stop(JOB, None, 0)


def test_every_provider_of_the_table_is_tried() -> None:
    assert set(HOMES) == set(PROVIDERS)


@pytest.mark.parametrize("code", [0, 3])
async def test_a_command_runs_and_its_exit_code_is_known(provider: Provider, code: int) -> None:
    handle = await provider.start(launch(f"print('hello'); raise SystemExit({code})"))
    assert await ended(provider, handle) == Seen("exited", code)
    assert "hello\n" in await provider.logs(JOB, handle, 65536)


async def test_the_process_is_given_its_settings(provider: Provider) -> None:
    code = "import os; print([os.environ[n] for n in ('SKYSCALE_URL','SKYSCALE_JOB_TOKEN','SKYSCALE_JOB_ID','MINE')])"
    handle = await provider.start(launch(code, MINE="yes", SKYSCALE_JOB_ID="forged"))
    await ended(provider, handle)
    assert f"['http://127.0.0.1:1', 'secret', '{JOB}', 'yes']" in await provider.logs(JOB, handle, 65536)


async def test_output_is_kept_and_the_newest_part_is_returned(home: Home, provider: Provider) -> None:
    first = await provider.start(launch("import sys; print('one'); sys.stderr.write('two\\n')"))
    await ended(provider, first)
    handle = await provider.start(launch("print('x' * 1000); print('three')", attempt=2))
    await ended(provider, handle)
    await printed(provider, handle, "three\n")
    if not home.keeps_all_logs:
        assert "one" in await provider.logs(JOB, first, 65536)
        assert "two" in await provider.logs(JOB, first, 65536)
        return
    logs = await provider.logs(JOB, handle, 65536)
    assert all(word in logs for word in ("one", "two", "three"))
    tail = await provider.logs(JOB, handle, 10)
    assert tail.endswith("three\n")
    assert len(tail) == 10


async def test_stop_asks_first_and_the_process_may_end_in_good_order(provider: Provider) -> None:
    bye = "import signal, sys; signal.signal(15, lambda *_: (print('bye', flush=True), sys.exit(0))); "
    handle = await provider.start(launch(bye + SLEEP))
    await printed(provider, handle, "up")
    await provider.stop(JOB, handle, 5.0)
    assert (await provider.logs(JOB, handle, 65536)).count("bye") == 1
    assert (await provider.poll(handle)).state not in ("pending", "running")


async def test_stop_kills_what_does_not_listen(provider: Provider) -> None:
    handle = await provider.start(launch(STUBBORN))
    await printed(provider, handle, "up")
    await provider.stop(JOB, handle, 0.2)
    assert (await provider.poll(handle)).state not in ("pending", "running")


async def test_stop_is_idempotent_and_safe_without_a_start(provider: Provider) -> None:
    await provider.stop("job-never-started", None, 0.1)
    handle = await provider.start(launch(SLEEP))
    await provider.stop(JOB, handle, 0)
    await provider.stop(JOB, handle, 0)
    await provider.stop(JOB, None, 0)


async def test_another_control_plane_takes_over_by_the_handle(home: Home, provider: Provider) -> None:
    handle = await provider.start(launch(SLEEP))
    await printed(provider, handle, "up")
    second = home.make()
    assert await second.poll(handle) == Seen("running")
    await second.stop(JOB, handle, 0)
    assert (await second.poll(handle)).state not in ("pending", "running")


async def test_an_attempt_whose_handle_was_never_recorded_is_found(home: Home, provider: Provider) -> None:
    if home.lose_next_reply is not None:
        home.lose_next_reply()
        with pytest.raises(Unavailable):
            await provider.start(launch(SLEEP, attempt=4))
    else:
        await provider.start(launch(SLEEP, attempt=4))
    second = home.make()
    assert await second.find(JOB, 3) is None
    handle = await second.find(JOB, 4)
    assert handle is not None
    assert (await second.poll(handle)).state in ("pending", "running")


async def test_what_is_ours_is_listed_and_nothing_else(home: Home, provider: Provider) -> None:
    handle = await provider.start(launch(SLEEP, attempt=2))
    await printed(provider, handle, "up")
    (mine,) = await home.make().owned()
    assert (mine.job_id, mine.attempt) == (JOB, 2)
    if home.stranger is not None:
        assert await home.stranger().owned() == []
    await home.make().stop(mine.job_id, mine.handle, 0)
    assert (await provider.poll(handle)).state not in ("pending", "running")
    assert await provider.owned() == []


async def test_an_attempt_ends_at_its_hard_timeout_without_a_control_plane(home: Home, provider: Provider) -> None:
    handle = await provider.start(replace(launch(SLEEP), timeout_s=2.0))
    seen = await ended(provider, handle)
    assert seen.code != 0
    assert bool(await provider.owned()) == home.holds_ended
    await provider.stop(JOB, handle, 0)
    assert await provider.owned() == []


async def test_the_inventory_is_told(provider: Provider) -> None:
    for offer in await provider.inventory():
        assert offer.gpu_model
        assert offer.name
        assert offer.usd_per_hour is None or offer.usd_per_hour > 0


async def test_an_attempt_that_ended_unseen_is_found_with_its_code(home: Home, provider: Provider) -> None:
    await ended(provider, await provider.start(launch("raise SystemExit(7)")))
    handle = await home.make().find(JOB, 1)
    assert handle is not None
    assert await provider.poll(handle) == Seen("exited", 7)


async def test_two_attempts_of_a_job_never_run_at_once(provider: Provider) -> None:
    if not provider.abilities.is_this_host:
        pytest.skip("elsewhere an earlier attempt is stopped by its name before the next is started")
    first = handle = await provider.start(launch(SLEEP))
    await printed(provider, handle, "up")
    second = await provider.start(launch("print('SECOND')", attempt=2))
    assert (await ended(provider, second)).code not in (0, None)
    assert "SECOND" not in await provider.logs(JOB, handle, 65536)
    assert await provider.poll(first) == Seen("running")


async def test_a_command_that_does_not_exist_says_so(provider: Provider) -> None:
    handle = await provider.start(command(["no-such-command"], 1, {}))
    assert (await ended(provider, handle)).code == 127
    assert "no-such-command" in await provider.logs(JOB, handle, 65536)


def test_an_unknown_provider_is_refused_with_the_names_that_exist(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refusal:
        load_provider("moon", Setup(jobs_dir=tmp_path, owner=OWNER))
    assert "local" in refusal.value.hint
