"""The contract of interactive sandboxes, run against every backend that makes them."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Literal

import pytest
import pytest_asyncio

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.loading import WORKSPACES, load_workspaces
from skyscale.sandboxes.workspace import (
    Command,
    CommandResult,
    CommandStatus,
    FileRefused,
    FileTrouble,
    Language,
    Workspace,
    WorkspaceBackend,
    WorkspaceBusy,
    WorkspaceLimits,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]  # the first may build an image
BACKENDS = [pytest.param(name, marks=[pytest.mark.slow] if name == "qemu" else []) for name in sorted(WORKSPACES)]
"""A machine is booted for each size of memory, which takes long where it is emulated."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=BACKENDS)
async def backend(request: pytest.FixtureRequest) -> AsyncGenerator[WorkspaceBackend]:
    made = await started(request.param)
    try:
        yield made
    finally:
        await made.stop()


async def started(name: str) -> WorkspaceBackend:
    """The backend, or a skip with the reason."""
    made = load_workspaces(name, label=f"contract-{name}")
    await made.start()
    try:
        await (await made.create("sb-first", SMALL)).close()
    except SandboxFailure as failure:
        await made.stop()
        if failure.code != "sandbox_backend_missing":
            raise
        pytest.skip(f"{name}: {failure.detail}")
    return made


@pytest_asyncio.fixture(loop_scope="module")
async def box(backend: WorkspaceBackend) -> AsyncGenerator[Workspace]:
    made = await backend.create("sb-contract", SMALL)
    yield made
    await made.close()


SMALL = WorkspaceLimits(memory_bytes=256 << 20, disk_bytes=4 << 20)


async def test_a_machine_keeps_files_and_runs_programs() -> None:
    """What is played always of QEMU, whose whole contract is slow."""
    made = await started("qemu")
    try:
        box = await made.create("sb-machine", SMALL)
        await box.write_file("a/in.txt", b"machine")
        assert (await run(box, "tr a-z A-Z < a/in.txt | tee out.txt; exit 3", "bash"))[0].exit_code == 3
        assert await box.read_file("out.txt", 100) == b"MACHINE"
        assert (await run(box, "import os; print(sorted(os.listdir('.')))"))[1] == "['a', 'out.txt']\n"
        assert (await run(box, "while True: pass", timeout_s=1))[0].status == CommandStatus.TIMEOUT
    finally:
        await made.stop()
    with pytest.raises(SandboxFailure):
        await box.read_file("out.txt", 100)


async def run(
    box: Workspace, code: str, language: Language = "python3", timeout_s: float = 10, stdin: str = ""
) -> tuple[CommandResult, str, str]:
    said: dict[Literal["stdout", "stderr"], bytes] = {"stdout": b"", "stderr": b""}

    def hear(name: Literal["stdout", "stderr"], data: bytes) -> None:
        said[name] += data

    result = await box.run(Command(code=code, language=language, timeout_s=timeout_s, stdin=stdin), hear)
    return result, said["stdout"].decode(), said["stderr"].decode()


async def test_files_persist_and_processes_do_not(box: Workspace) -> None:
    result, _, _ = await run(box, "(sleep 60 & echo $! > pid); x=1; echo kept > file", "bash")
    assert (result.status, result.exit_code) == (CommandStatus.OK, 0)
    _, out, _ = await run(box, "cat file; kill -0 $(cat pid) 2>/dev/null || echo gone; echo [$x]", "bash")
    assert out == "kept\ngone\n[]\n"


async def test_output_exit_codes_and_input_are_the_programs_own(box: Workspace) -> None:
    result, out, err = await run(
        box, "import sys; print(input()); print('e', file=sys.stderr); sys.exit(9)", stdin="i\n"
    )
    assert (result.exit_code, out, err) == (9, "i\n", "e\n")
    assert (await run(box, "syntax error here"))[0].exit_code == 1
    _, out, _ = await run(box, "import sys; print(sys.stdin.read() == 'ü' * 100_000)", stdin="ü" * 100_000)
    assert out == "True\n"


async def test_every_limit_ends_the_command_and_not_the_workspace(backend: WorkspaceBackend) -> None:
    limits = WorkspaceLimits(memory_bytes=128 << 20, disk_bytes=1 << 20, output_bytes=1000, max_processes=8)
    box = await backend.create("sb-limits", limits)
    assert (await run(box, "while True: pass", timeout_s=0.3))[0].status == CommandStatus.TIMEOUT
    result, out, _ = await run(box, "yes", "bash")
    assert (result.status, len(out)) == (CommandStatus.OUTPUT_LIMIT, 1000)
    together = "import os, time\nos.fork(); os.fork()\nx = b'x' * (50 << 20)\ntime.sleep(20)"
    assert (await run(box, together))[0].status == CommandStatus.MEMORY
    assert (await run(box, "x = b'x' * (1 << 30)"))[2].strip().endswith("MemoryError")
    _, _, err = await run(box, "open('big', 'wb').write(b'x' * (2 << 20))")
    assert "Error" in err
    assert (await run(box, "import os; os.remove('big'); print('usable')"))[1] == "usable\n"


async def test_one_command_at_a_time_and_a_cancelled_one_is_ended(box: Workspace) -> None:
    first = asyncio.create_task(run(box, "import time; open('started', 'w'); time.sleep(30)"))
    for _ in range(1000):
        if box.is_busy and await box.list_files("", 10):
            break
        await asyncio.sleep(0.01)
    with pytest.raises(WorkspaceBusy):
        await run(box, "1")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await run(box, "print('next')"))[1] == "next\n"


async def test_files_are_whole_and_links_are_not_followed(box: Workspace) -> None:
    content = bytes(range(256)) * 4000
    await box.write_file("a/b/c.bin", content)
    assert await box.read_file("a/b/c.bin", 1 << 21) == content
    assert [(e.name, e.kind, e.size_bytes) for e in await box.list_files("a/b", 10)] == [("c.bin", "file", 1_024_000)]
    await run(box, "ln -s / root; ln -s /etc/passwd users; ln -s a/b/c.bin inside", "bash")
    for path, trouble in {
        "root/etc/passwd": FileTrouble.LINK, "users": FileTrouble.LINK, "inside": FileTrouble.LINK,
        "none": FileTrouble.MISSING, "a": FileTrouble.NOT_A_FILE, "a/b/c.bin/d": FileTrouble.NOT_A_DIRECTORY,
    }.items():  # fmt: skip
        with pytest.raises(FileRefused) as caught:
            await box.read_file(path, 1 << 20)
        assert caught.value.trouble == trouble, path
    for path, large in (("a/b/c.bin", 1000), ("../../etc/passwd", 1 << 20), ("/etc/passwd", 1 << 20)):
        with pytest.raises(FileRefused):  # the paths' rules are the service's; no leaf may depend on them
            await box.read_file(path, large)
    with pytest.raises(FileRefused) as caught:
        await box.write_file("full", b"x" * (5 << 20))
    assert caught.value.trouble == FileTrouble.NO_SPACE
    assert [e.name for e in await box.list_files("", 10)] == ["a", "inside", "root", "users"]


async def test_a_closed_workspace_is_of_no_use(backend: WorkspaceBackend, box: Workspace) -> None:
    for _ in range(2):
        await box.close()
    assert not box.is_alive
    with pytest.raises(SandboxFailure):
        await box.read_file("x", 1)
    with pytest.raises(SandboxFailure):
        await box.write_file("x", b"")
    again = await backend.create("sb-contract", SMALL)
    assert await again.list_files("", 10) == []
    await again.close()


async def test_every_layer_is_reported(backend: WorkspaceBackend, box: Workspace) -> None:
    del box
    assert {"pid namespace", "network namespace", "no capabilities", "seccomp"} <= set(backend.report())
