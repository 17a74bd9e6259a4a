"""The sandbox contract on QEMU machines: a part of the shared tests (each machine costs about half a second), and what
only machines can get wrong. The first start on a host builds the guest image; skipped where QEMU is not installed."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.encoding import encode
from skyscale.sandboxes.loading import load_backend
from skyscale.sandboxes.sandbox import CallStatus, Limits, SandboxBackend
from tests.contract import test_sandbox as contract
from tests.contract.test_sandbox import QUICK, call, kernel_status, settled

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(400),  # the first one may build the image
    pytest.mark.skipif(
        shutil.which("qemu-system-x86_64") is None,
        reason="QEMU is not installed (Debian: apt-get install qemu-system-x86)",
    ),
]

test_values_come_back_with_their_exact_types = contract.test_values_come_back_with_their_exact_types
test_each_call_has_its_own_status = contract.test_each_call_has_its_own_status
test_a_program_reads_its_input_and_prints = contract.test_a_program_reads_its_input_and_prints
test_hashes_and_random_numbers_repeat = contract.test_hashes_and_random_numbers_repeat
test_a_sandbox_is_used_once_and_closed_twice = contract.test_a_sandbox_is_used_once_and_closed_twice
test_it_sees_nothing_of_its_machine = contract.test_it_sees_no_environment_no_descriptors_no_processes
test_scratch_space_is_limited = contract.test_scratch_space_is_limited


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[SandboxBackend]:
    made = load_backend("qemu", slots=1)
    try:
        await made.start()
    except SandboxFailure as failure:
        pytest.skip(f"qemu: {failure.detail}")
    yield made
    await made.stop()
    assert not _machines()


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("def f(:", CallStatus.SYNTAX_ERROR),
        ("while True: pass", CallStatus.TIMEOUT),
        ("x = bytearray(10**10)", CallStatus.MEMORY),
        ("while True: print('x' * 999)", CallStatus.OUTPUT_LIMIT),
        ("import ctypes; ctypes.string_at(0)", CallStatus.KILLED),
        ("import os; os.write(3, b'xxxxxxxx')", CallStatus.PROTOCOL_VIOLATION),
    ],
)
async def test_loading_ends_as_it_should(backend: SandboxBackend, code: str, status: CallStatus) -> None:
    execution = await call(backend, code, (1,), (2,), limits=Limits(wall_s=1.5 if status == "timeout" else 5.0))
    assert [execution.status, *[c.status for c in execution.calls]] == [status] * 3


async def test_two_machines_of_one_snapshot_draw_different_numbers(backend: SandboxBackend) -> None:
    code = "import os, time\ndef f(): return [os.urandom(16), time.time()]"
    first, second = await call(backend, code), await call(backend, code)
    assert first.calls[0].status == CallStatus.OK
    assert first.calls[0].value != second.calls[0].value
    times = [float.fromhex(e.calls[0].value.split('{"f":"')[1].split('"')[0]) for e in (first, second)]
    assert all(abs(time.time() - told) < 30 for told in times)


async def test_it_has_no_network_and_another_kernel(backend: SandboxBackend) -> None:
    value = (await call(backend, "import os\ndef f(): return os.uname()[2]")).calls[0].value
    assert value != encode(os.uname()[2])
    assert backend.report()["no network device"] == "yes"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives each machine a user of its own")
async def test_each_machine_has_a_user_of_its_own_and_no_capability(backend: SandboxBackend) -> None:
    sandboxes = [await backend.acquire(), await backend.acquire()]
    status = [kernel_status(pid) for pid in _machines()]
    await asyncio.gather(*(sandbox.close() for sandbox in sandboxes))
    uids = [each["Uid"][0] for each in status]
    assert len(uids) >= 2 and len(set(uids)) == len(uids) and "0" not in uids
    assert {(each["CapEff"][0], each["Seccomp"][0]) for each in status} == {("0" * 16, "2")}


async def test_nothing_of_an_episode_is_left_for_the_next(backend: SandboxBackend) -> None:
    code = "import os\ndef f():\n seen = os.path.exists('/tmp/m')\n open('/tmp/m', 'w').write('x')\n return seen"
    for _ in range(3):
        assert (await call(backend, code)).calls[0].value == "false"


async def test_a_machine_killed_at_work_leaves_nothing_and_the_next_one_works(backend: SandboxBackend) -> None:
    sandbox = await backend.acquire()
    running = asyncio.create_task(sandbox.run_calls("while True: pass", "f", [encode(())], Limits()))
    await asyncio.sleep(0.3)
    await sandbox.close()
    with pytest.raises(SandboxFailure):
        await running
    execution = await call(backend, "def f(): return 7", limits=QUICK)
    assert execution.calls[0].value == "7", execution


async def test_stopping_ends_every_machine() -> None:
    before = set(_machines())
    fresh = load_backend("qemu", slots=1)
    try:
        await fresh.start()
    except SandboxFailure as failure:
        pytest.skip(f"qemu: {failure.detail}")
    await fresh.acquire()
    assert set(_machines()) - before
    await fresh.stop()
    await settled(lambda: not set(_machines()) - before)
    with pytest.raises(SandboxFailure):
        await fresh.acquire()


async def test_what_a_crashed_control_plane_left_is_gone_after_the_next_start(backend: SandboxBackend) -> None:
    del backend  # it has the snapshot made
    script = (
        "import asyncio, os\nfrom skyscale.sandboxes.guest import leftovers\n"
        "from skyscale.sandboxes.loading import load_backend\n"
        "async def main():\n b = load_backend('qemu', slots=1)\n await b.start()\n await b.acquire()\n"
        " print(leftovers.mark(), flush=True)\n os._exit(1)\nasyncio.run(main())\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, timeout=100
    )
    mark = done.stdout.strip()
    assert mark and _marked(mark), done.stderr
    fresh = load_backend("qemu", slots=1)
    async with fresh:
        assert not _marked(mark)
        assert (await call(fresh, "def f(): return 7")).calls[0].value == "7"


def _marked(mark: str) -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if mark in (p.info["cmdline"] or [])]


def _machines() -> list[int]:
    return [p.pid for p in psutil.Process().children(recursive=True) if "qemu-system" in p.name()]
