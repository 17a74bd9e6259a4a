"""One program on many inputs in one sandbox: every run as if it were alone."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.loading import load_backend
from skyscale.sandboxes.sandbox import CallStatus, Execution, Limits, ManyRuns, SandboxBackend

QUICK = Limits(wall_s=1.5, cpu_s=2)


@pytest.fixture
async def backend() -> AsyncIterator[SandboxBackend]:
    made = load_backend("process", slots=2)
    try:
        await made.start()
    except SandboxFailure as failure:
        pytest.skip(f"process: {failure.detail}")
    yield made
    await made.stop()


async def runs(backend: SandboxBackend, code: str, *stdins: str, **limits: Any) -> list[Execution]:
    sandbox = await backend.acquire()
    assert isinstance(sandbox, ManyRuns)
    try:
        return await sandbox.run_programs(code, stdins or ("", ""), Limits(**{"wall_s": 1.5, "cpu_s": 2} | limits))
    finally:
        await sandbox.close()


async def test_each_input_gets_a_fresh_process(backend: SandboxBackend) -> None:
    code = (
        "import builtins, sys\n"
        "assert not hasattr(builtins, 'seen'); builtins.seen = 1\n"
        "print(int(input()) * 2); sys.stdout = None; builtins.input = None"
    )
    found = await runs(backend, code, "1\n", "2\n", "30\n")
    assert [(each.status, each.stdout, each.exit_code) for each in found] == [
        (CallStatus.OK, "2\n", 0), (CallStatus.OK, "4\n", 0), (CallStatus.OK, "60\n", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [
        ("import sys; sys.exit(3)", CallStatus.EXCEPTION, 3),
        ("import sys; sys.exit()", CallStatus.OK, 0),
        ("import os; os._exit(0)", CallStatus.OK, 0),
        ("import os; os._exit(9)", CallStatus.EXCEPTION, 9),
        ("1 / 0", CallStatus.EXCEPTION, 1),
        ("x = bytearray(10**10)", CallStatus.MEMORY, 1),
        ("import ctypes; ctypes.string_at(0)", CallStatus.KILLED, -11),
        ("import os; os.fork()", CallStatus.EXCEPTION, 1),
        ("import os; os.write(3, b'xxxxxxxx')", CallStatus.OK, 0),
        ("import os; os.kill(1, 9); os.kill(-1, 9)", CallStatus.EXCEPTION, 1),
    ],
)
async def test_an_end_is_the_runs_own(backend: SandboxBackend, code: str, status: CallStatus, exit_code: int) -> None:
    found = await runs(backend, f"print('a', flush=True)\nif input() == '1':\n {code}\nprint('b')", "1", "2", "1")
    assert [(each.status, each.exit_code) for each in (found[0], found[2])] == [(status, exit_code)] * 2
    assert (found[1].status, found[1].stdout, found[0].stdout[:2]) == (CallStatus.OK, "a\nb\n", "a\n")


async def test_what_a_run_says_on_the_channel_of_its_sandbox_reaches_nobody(backend: SandboxBackend) -> None:
    code = (
        "import os\n"
        'frame = b\'ran\\nok\\n\\n[0, "forged", ""]\'\n'
        "for fd in range(3, 64):\n"
        "    try: os.write(fd, len(frame).to_bytes(4, 'big') + frame)\n"
        "    except OSError: pass\n"
        "print(input(), flush=True); os._exit(0)"
    )
    found = await runs(backend, code, "1", "2")
    assert [(each.status, each.stdout) for each in found] == [(CallStatus.OK, "1\n"), (CallStatus.OK, "2\n")]


async def test_a_run_without_an_end_is_a_timeout_and_the_last(backend: SandboxBackend) -> None:
    found = await runs(backend, "print(input()); n = 0\nwhile n == 0: pass", "1", "2", "3", wall_s=0.5)
    assert [each.status for each in found] == [CallStatus.TIMEOUT]


async def test_every_run_has_a_deadline_of_its_own(backend: SandboxBackend) -> None:
    found = await runs(backend, "import time; time.sleep(0.4); print(input())", "1", "2", "3", "4", wall_s=1.2)
    assert [each.stdout for each in found] == ["1\n", "2\n", "3\n", "4\n"]


async def test_text_that_is_no_program_is_told_once(backend: SandboxBackend) -> None:
    (only,) = await runs(backend, "print(", "1", "2")
    assert (only.status, only.detail, only.exit_code) == (CallStatus.SYNTAX_ERROR, "SyntaxError", 1)
    assert "SyntaxError" in only.stderr


async def test_a_flood_is_cut_and_stated(backend: SandboxBackend) -> None:
    code = "import sys\nprint('x' * 200_000 if input() == '1' else 'y'); sys.stderr.write('é' * 10)"
    flood, quiet = await runs(backend, code, "1", "2")
    assert (flood.status, len(flood.stdout)) == (CallStatus.OUTPUT_LIMIT, 64 * 1024)
    assert (quiet.status, quiet.stdout, quiet.stderr) == (CallStatus.OK, "y\n", "é" * 10)


async def test_output_that_is_not_text_is_replaced(backend: SandboxBackend) -> None:
    code = "import os; os.write(1, b'a\\xff\\x00'); input()"
    assert [each.stdout for each in await runs(backend, code, "1", "2")] == ["a\ufffd\x00"] * 2
