"""One suite for every provider: what the scheduler relies on, with real commands."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from skyscale.errors import Invalid
from skyscale.jobs.loading import PROVIDERS, load_provider
from skyscale.jobs.provider import JobLaunch, Provider
from skyscale.jobs.rules import Seen
from skyscale.wire.jobs import JobRole

JOB = "job-under-test"
SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
MISSED = "it did not come to pass in time"


def launch(code: str, attempt: int = 1, **env: str) -> JobLaunch:
    return command([sys.executable, "-c", code], attempt, env)


def command(words: list[str], attempt: int, env: dict[str, str]) -> JobLaunch:
    return JobLaunch(
        job_id=JOB, role=JobRole.CUSTOM, attempt=attempt, command=words, url="http://127.0.0.1:1", token="secret",
        env=env,
    )  # fmt: skip


async def until(check: Callable[[], Awaitable[bool]], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not await check():
        assert time.monotonic() < deadline, MISSED
        await asyncio.sleep(0.01)


async def ended(provider: Provider, handle: str) -> Seen:
    async def has_ended() -> bool:
        return (await provider.poll(handle)).state != "running"

    await until(has_ended)
    return await provider.poll(handle)


async def printed(provider: Provider, text: str) -> None:
    async def has_printed() -> bool:
        return text in await provider.logs(JOB, 65536)

    await until(has_printed)


@pytest.fixture(params=sorted(PROVIDERS))
async def provider(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Provider]:
    made = load_provider(request.param, tmp_path)
    yield made
    await made.stop(JOB, None, 0)


@pytest.mark.parametrize("code", [0, 3])
async def test_a_command_runs_and_its_exit_code_is_known(provider: Provider, code: int) -> None:
    handle = await provider.start(launch(f"print('hello'); raise SystemExit({code})"))
    assert await ended(provider, handle) == Seen("exited", code)
    assert "hello\n" in await provider.logs(JOB, 65536)


async def test_the_process_is_given_its_settings(provider: Provider) -> None:
    code = "import os; print([os.environ[n] for n in ('SKYSCALE_URL','SKYSCALE_JOB_TOKEN','SKYSCALE_JOB_ID','MINE')])"
    await ended(provider, await provider.start(launch(code, MINE="yes", SKYSCALE_JOB_ID="forged")))
    assert f"['http://127.0.0.1:1', 'secret', '{JOB}', 'yes']" in await provider.logs(JOB, 65536)


async def test_output_of_all_attempts_is_kept_and_the_newest_part_is_returned(provider: Provider) -> None:
    await ended(provider, await provider.start(launch("import sys; print('one'); sys.stderr.write('two')")))
    await ended(provider, await provider.start(launch("print('x' * 1000); print('three')", attempt=2)))
    logs = await provider.logs(JOB, 65536)
    assert all(word in logs for word in ("one", "two", "three"))
    tail = await provider.logs(JOB, 10)
    assert tail.endswith("three\n")
    assert len(tail) == 10


async def test_stop_asks_first_and_the_process_may_end_in_good_order(provider: Provider) -> None:
    bye = "import signal, sys; signal.signal(15, lambda *_: (print('bye', flush=True), sys.exit(0))); "
    handle = await provider.start(launch(bye + SLEEP))
    await printed(provider, "up")
    await provider.stop(JOB, handle, 5.0)
    assert (await provider.logs(JOB, 65536)).count("bye") == 1
    assert (await provider.poll(handle)).state != "running"


async def test_stop_kills_what_does_not_listen(provider: Provider) -> None:
    handle = await provider.start(launch(STUBBORN))
    await printed(provider, "up")
    await provider.stop(JOB, handle, 0.2)
    assert (await provider.poll(handle)).state != "running"


async def test_stop_is_idempotent_and_safe_without_a_start(provider: Provider) -> None:
    await provider.stop("job-never-started", None, 0.1)
    handle = await provider.start(launch(SLEEP))
    await provider.stop(JOB, handle, 0)
    await provider.stop(JOB, handle, 0)
    await provider.stop(JOB, None, 0)


async def test_another_control_plane_takes_over_by_the_handle(provider: Provider, tmp_path: Path) -> None:
    handle = await provider.start(launch(SLEEP))
    await printed(provider, "up")
    second = load_provider(provider.name, tmp_path)
    assert await second.poll(handle) == Seen("running")
    await second.stop(JOB, handle, 0)
    assert (await second.poll(handle)).state != "running"


async def test_an_attempt_whose_handle_was_never_recorded_is_found(provider: Provider, tmp_path: Path) -> None:
    await provider.start(launch(SLEEP, attempt=4))
    second = load_provider(provider.name, tmp_path)
    assert await second.find(JOB, 3) is None
    handle = await second.find(JOB, 4)
    assert handle is not None
    assert await second.poll(handle) == Seen("running")


async def test_an_attempt_that_ended_unseen_is_found_with_its_code(provider: Provider, tmp_path: Path) -> None:
    await ended(provider, await provider.start(launch("raise SystemExit(7)")))
    handle = await load_provider(provider.name, tmp_path).find(JOB, 1)
    assert handle is not None
    assert await provider.poll(handle) == Seen("exited", 7)


async def test_two_attempts_of_a_job_never_run_at_once(provider: Provider) -> None:
    first = await provider.start(launch(SLEEP))
    await printed(provider, "up")
    second = await provider.start(launch("print('SECOND')", attempt=2))
    assert (await ended(provider, second)).code not in (0, None)
    assert "SECOND" not in await provider.logs(JOB, 65536)
    assert await provider.poll(first) == Seen("running")


async def test_a_command_that_does_not_exist_says_so(provider: Provider) -> None:
    handle = await provider.start(command(["no-such-command"], 1, {}))
    assert (await ended(provider, handle)).code == 127
    assert "no-such-command" in await provider.logs(JOB, 65536)


def test_an_unknown_provider_is_refused_with_the_names_that_exist(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refusal:
        load_provider("moon", tmp_path)
    assert "local" in refusal.value.hint
