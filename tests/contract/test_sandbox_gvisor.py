"""The sandbox contract on gVisor: the same tests as the process backend's, and what only containers can get wrong."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from skyscale.envs.judge import Judge
from skyscale.errors import SandboxFailure
from skyscale.sandboxes.encoding import encode
from skyscale.sandboxes.guest import leftovers
from skyscale.sandboxes.loading import load_backend
from skyscale.sandboxes.sandbox import Limits, SandboxBackend
from tests.contract import test_sandbox as contract
from tests.contract.test_sandbox import TRY, call, settled

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(shutil.which("runsc") is None, reason="runsc is not installed (Debian: apt-get install runsc)"),
]

test_values_come_back_with_their_exact_types = contract.test_values_come_back_with_their_exact_types
test_each_call_has_its_own_status = contract.test_each_call_has_its_own_status
test_loading_ends_as_it_should = contract.test_loading_ends_as_it_should
test_results_before_a_timeout_are_kept = contract.test_results_before_a_timeout_are_kept
test_a_program_reads_its_input_and_prints = contract.test_a_program_reads_its_input_and_prints
test_common_modules_work = contract.test_common_modules_work
test_hashes_and_random_numbers_repeat = contract.test_hashes_and_random_numbers_repeat
test_nothing_of_an_episode_is_left_for_the_next = contract.test_nothing_of_an_episode_is_left_for_the_next
test_a_sandbox_is_used_once_and_closed_twice = contract.test_a_sandbox_is_used_once_and_closed_twice
test_scratch_space_is_limited = contract.test_scratch_space_is_limited
test_programs_are_judged_by_what_they_print = contract.test_programs_are_judged_by_what_they_print


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[SandboxBackend]:
    made = load_backend("gvisor", slots=2)
    try:
        await made.start()
    except SandboxFailure as failure:
        pytest.skip(f"gvisor: {failure.detail}")
    yield made
    await made.stop()


@pytest.fixture
def judge(backend: SandboxBackend) -> Judge:
    return Judge(backend, concurrency=2, limits=Limits(wall_s=1.5))


async def test_it_is_nobody_alone_in_an_empty_place(backend: SandboxBackend) -> None:
    code = TRY + (
        "def f():\n fds = [n for n in range(100) if tried(lambda: os.fstat(n)) != 'refused']\n"
        " writable = [p for p in ('/', '/dev', '/dev/shm', '/python', '/lib') if os.access(p, os.W_OK)]\n"
        " return [dict(os.environ), fds, os.getpid(), os.getppid(), os.getuid(), os.uname()[1], os.getcwd(), writable]"
    )
    value = (await call(backend, code)).calls[0].value
    assert value == encode([{}, [0, 1, 2, 3], 1, 0, 65534, "sandbox", "/tmp", []])


async def test_its_kernel_is_not_the_hosts(backend: SandboxBackend) -> None:
    value = (await call(backend, "import os\ndef f(): return os.uname()[2]")).calls[0].value
    assert value != encode(os.uname()[2])
    assert backend.report()["kernel in user space"] == "yes"


async def test_forks_die_with_their_container(backend: SandboxBackend) -> None:
    code = "import os, time\ndef f():\n for _ in range(3):\n  if os.fork() == 0: time.sleep(60)\n return 1"
    sandbox = await backend.acquire()
    assert _processes_of(sandbox.sandbox_id)
    execution = await sandbox.run_calls(code, "f", [encode(())], Limits(max_processes=8))
    await sandbox.close()
    assert execution.calls[0].value == "1", execution
    await settled(lambda: not _processes_of(sandbox.sandbox_id))


async def test_memory_of_a_greedy_program_is_bounded(backend: SandboxBackend) -> None:
    code = "def f():\n kept = []\n while True: kept.append(bytearray(2**20))"
    execution = await call(backend, code, limits=Limits(memory_bytes=128 * 2**20, wall_s=5))
    assert execution.calls[0].status == "memory", execution


async def test_stopping_leaves_no_process_and_no_folder(backend: SandboxBackend) -> None:
    others = _folders()
    fresh = load_backend("gvisor", slots=1)
    await fresh.start()
    sandbox = await fresh.acquire()
    running = asyncio.create_task(sandbox.run_calls("while True: pass", "f", [encode(())], Limits()))
    await asyncio.sleep(0.1)
    (folder,) = _folders() - others
    assert _processes_of(folder)
    await fresh.stop()
    with pytest.raises(SandboxFailure):
        await running
    assert _folders() == others
    await settled(lambda: not _processes_of(folder))
    with pytest.raises(SandboxFailure):
        await fresh.acquire()


async def test_what_a_crashed_control_plane_left_is_gone_after_the_next_start() -> None:
    script = (
        "import asyncio, os\nfrom skyscale.sandboxes.loading import load_backend\n"
        "from skyscale.sandboxes.sandbox import Limits\n"
        "async def main():\n b = load_backend('gvisor', slots=1)\n await b.start()\n s = await b.acquire()\n"
        " asyncio.create_task(s.run_program('while True: pass', '', Limits(cpu_s=60, wall_s=60)))\n"
        " await asyncio.sleep(0.5)\n from skyscale.sandboxes.guest import leftovers\n"
        " print(leftovers.mark(), flush=True)\n os._exit(1)\nasyncio.run(main())\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    mark = f"skyscale-gvisor-{done.stdout.strip()}-"
    assert _processes_of(mark), done.stderr
    async with load_backend("gvisor", slots=1):
        await settled(lambda: not _processes_of(mark))
        assert not _folders(mark)


def _folders(mark: str = "") -> set[str]:
    mark = mark or f"skyscale-gvisor-{leftovers.mark()}-"
    return {path.name for path in Path(tempfile.gettempdir()).glob(f"{mark}*")}


def _processes_of(mark: str) -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if mark in " ".join(p.info["cmdline"] or [])]
