"""The process backend's pool: sandboxes are forked in lots, and each is as alone as if it had been made by itself."""

import asyncio
import gc
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.process.backend import ProcessBackend
from skyscale.sandboxes.backends.process.link import ZygoteLink
from skyscale.sandboxes.encoding import encode
from skyscale.sandboxes.sandbox import CallStatus, Limits, ManyRuns
from tests.contract.footprint import zygotes

FULL = 8


def target(link: str) -> str:
    return str(Path(link).readlink())


async def until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not is_true():
        assert time.monotonic() < deadline, "did not come true"
        await asyncio.sleep(0.01)


async def test_the_pool_is_full_again_when_nobody_takes_from_it(backend: ProcessBackend) -> None:
    await until(lambda: backend.num_ready == FULL)
    for number in (1, 3, FULL, 2 * FULL + 3):
        taken = [await backend.acquire() for _ in range(number)]
        await asyncio.gather(*(sandbox.close() for sandbox in taken))
        await until(lambda: backend.num_ready == FULL)
        await asyncio.sleep(0.05)
        assert backend.num_ready == FULL, number


async def test_sandboxes_of_a_lot_share_neither_user_nor_namespaces(backend: ProcessBackend) -> None:
    await until(lambda: backend.num_ready == FULL)
    taken = await asyncio.gather(*(backend.acquire() for _ in range(FULL)))
    for kind in ("user", "pid", "mnt"):
        seen = {target(f"/proc/{sandbox.pid}/ns/{kind}") for sandbox in taken}
        assert len(seen) == FULL, kind
    if os.geteuid() == 0:
        assert len({psutil.Process(sandbox.pid).uids() for sandbox in taken}) == FULL
    assert all(sandbox.layers == taken[0].layers for sandbox in taken)
    assert taken[0].layers["private tmp"] == taken[0].layers["seccomp"] == taken[0].layers["no capabilities"] == "yes"
    await asyncio.gather(*(sandbox.close() for sandbox in taken))


async def test_the_outputs_of_a_lot_are_each_ones_own(backend: ProcessBackend) -> None:
    await until(lambda: backend.num_ready == FULL)
    taken = await asyncio.gather(*(backend.acquire() for _ in range(FULL)))
    code = "import sys\ndef f(x):\n print('out', x)\n print('err', x, file=sys.stderr)\n return x"
    found = await asyncio.gather(
        *(sandbox.run_calls(code, "f", [encode((n,))], Limits()) for n, sandbox in enumerate(taken))
    )
    assert [(e.calls[0].value, e.stdout, e.stderr) for e in found] == [
        (str(n), f"out {n}\n", f"err {n}\n") for n in range(FULL)
    ]
    await asyncio.gather(*(sandbox.close() for sandbox in taken))


async def test_a_waiting_sandbox_that_dies_takes_nobody_with_it(backend: ProcessBackend) -> None:
    await until(lambda: backend.num_ready == FULL)
    first, *others = await asyncio.gather(*(backend.acquire() for _ in range(FULL)))
    psutil.Process(first.pid).kill()
    found = await asyncio.gather(*(each.run_calls("def f(): return 7", "f", [encode(())], Limits()) for each in others))
    assert [e.calls[0].value for e in found] == ["7"] * (FULL - 1)
    with pytest.raises(SandboxFailure):
        await first.run_calls("def f(): return 7", "f", [encode(())], Limits())
    await asyncio.gather(*(sandbox.close() for sandbox in (first, *others)))


async def test_a_sandbox_that_dies_before_it_reads_its_job_is_no_fault_of_the_code(backend: ProcessBackend) -> None:
    sandbox = await backend.acquire()
    process = psutil.Process(sandbox.pid)
    process.suspend()
    running = asyncio.create_task(sandbox.run_calls("def f(): return 7", "f", [encode(())], Limits()))
    await asyncio.sleep(0.05)
    process.kill()
    with pytest.raises(SandboxFailure, match="before it took its job"):
        await running
    await sandbox.close()


async def test_a_zygote_that_dies_while_it_starts_is_replaced_once(backend: ProcessBackend) -> None:
    troubles: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(str(context)))
    await until(lambda: backend.num_ready == FULL)
    for _ in range(2):  # the second one in its first moments
        known = {link.pid for link in links(backend)}
        psutil.Process(links(backend)[0].pid).kill()
        await until(lambda known=known: links(backend)[0].pid not in known)
    await until(lambda: all(link.is_alive and link.layers for link in links(backend)))
    await asyncio.sleep(0.5)  # for whoever else might want to replace it
    gc.collect()
    assert (troubles, len(zygotes())) == ([], len(links(backend)))
    sandbox = await backend.acquire()
    found = await sandbox.run_calls("def f(): return 7", "f", [encode(())], Limits())
    await sandbox.close()
    assert found.calls[0].value == "7"


def links(backend: ProcessBackend) -> list[ZygoteLink]:
    return backend._links  # pyright: ignore[reportPrivateUsage]


async def test_a_zygote_keeps_nothing_of_the_sandboxes_that_it_made(backend: ProcessBackend) -> None:
    await until(lambda: backend.num_ready == FULL)
    made = zygotes()
    before = sum(zygote.num_fds() for zygote in made)
    for _ in range(3):
        taken = await asyncio.gather(*(backend.acquire() for _ in range(FULL)))
        await asyncio.gather(*(sandbox.close() for sandbox in taken))
    await until(lambda: backend.num_ready == FULL)
    await until(lambda: sum(zygote.num_fds() for zygote in made) == before)
    nowhere = {target(f"/proc/{zygote.pid}/fd/{number}") for zygote in made for number in (0, 1, 3)}
    assert all("pipe" not in each and "socket" not in each for each in nowhere)


@pytest.mark.parametrize("size", [60_000, 65_536, 65_537, 400_000])
async def test_what_is_printed_before_we_listen_is_not_lost(backend: ProcessBackend, size: int) -> None:
    sandbox = await backend.acquire()
    found = await sandbox.run_program(f"print('x' * {size - 1})", "", Limits())
    await sandbox.close()
    assert found.status == (CallStatus.OK if size <= 65_536 else CallStatus.OUTPUT_LIMIT)
    assert len(found.stdout) == min(size, 65_536)


async def test_every_episode_begins_with_the_same_random_state(backend: ProcessBackend) -> None:
    expected = random.Random(0).random()
    sandbox, other = await backend.acquire(), await backend.acquire()
    assert isinstance(other, ManyRuns)
    called = await sandbox.run_calls("import random\ndef f(): return random.random()", "f", [encode(())], Limits())
    printed = await other.run_programs("import random\nprint(random.random())", ["", ""], Limits())
    assert called.calls[0].value == encode(expected)
    assert [each.stdout for each in printed] == [f"{expected}\n"] * 2
    await asyncio.gather(sandbox.close(), other.close())
