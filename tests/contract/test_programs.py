"""One program on many inputs in one sandbox: every run as if it were alone."""

from typing import Any

import pytest

from skyscale.envs.judge import Judge
from skyscale.sandboxes.sandbox import CallStatus, Execution, Limits, ManyRuns, SandboxBackend
from skyscale.wire.problems import Difficulty, Problem, Split, StdinTest

QUICK = Limits(wall_s=1.5, cpu_s=2)


async def runs(backend: SandboxBackend, code: str, *stdins: str, **limits: Any) -> list[Execution]:
    sandbox = await backend.acquire()
    assert isinstance(sandbox, ManyRuns)
    bounds: dict[str, Any] = {"wall_s": 1.5, "cpu_s": 2} | limits
    try:
        return await sandbox.run_programs(code, stdins or ("", ""), Limits(**bounds))
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


FORKED = "import os\n"
"""Before a program, it has a process for each input: `os` may leave something behind."""


def seen(run: Execution) -> tuple[object, ...]:
    return run.status, run.stdout, run.exit_code, run.detail, run.stderr.count("\n")


@pytest.mark.parametrize(
    "code",
    [
        "print(int(input()) * 2)",
        "import sys\nprint(sum(map(int, sys.stdin.read().split())))",
        "import sys\nread = sys.stdin.buffer.read\nprint(len(read()))\nsys.stdout.write('end')",
        "total = 0\nseen = []\ndef add(x, kept=[]):\n    kept.append(x)\n    return kept\nprint(add(input()), seen)",
        "def f(n): return f(n + 1)\nf(int(input()))",
        "print(10 // int(input()))",
        "print('é' * int(input()), end='')\nimport sys\nsys.exit(int(input()))",
        "x = 10**9 if input() == '0' else 1\nprint(len('a' * x))",
        "print(input(), input(), input(), input())",
        "print('x' * 100_000 if input() == '3' else 'y')",
        "from functools import cache\n@cache\ndef f(n): return n if n < 2 else f(n - 1)\nprint(f(int(input())))",
        "import heapq, math, collections\nprint(collections.Counter(input()), math.gcd(4, int(input())))",
        "input = lambda: '7'\nprint = str\nint('x')",
        "import sys\nwith sys.stdout as out:\n    out.write(input())",
        "import sys\nwith sys.stderr as err:\n    print(input(), file=err)\nprint('end')",
        "def f():\n    try: yield\n    finally: print('late')\nkept = f()\nnext(kept)\nprint(input())",
        "import sys\nif input() == '3':\n    try:\n        while True: sys.stdout.write('x' * 99 + '\\n')\n"
        "    except OSError: print('late')\nelse: print('y')",
        "import sys\nif input() == '3':\n    for _ in range(200): print('x' * 100_000, file=sys.stderr)\nprint('y')",
        "import statistics\nprint(input(), statistics.NormalDist().samples(2))",
    ],
)
async def test_runs_that_share_a_process_come_out_as_each_alone(backend: SandboxBackend, code: str) -> None:
    stdins = ("3\n4\n5\n", "0\n", "", "12\n-3\n1", "x")
    shared, alone = [await runs(backend, before + code, *stdins) for before in ("", FORKED)]
    assert list(map(seen, shared)) == list(map(seen, alone)) and len(shared) == len(stdins)


async def test_long_runs_and_large_ones_leave_the_rest_to_another_sandbox(backend: SandboxBackend) -> None:
    busy = "n = 0\nfor _ in range(10**6 * int(input())): n += 1\nprint('done')"
    assert 1 <= len(await runs(backend, busy, *["8"] * 12)) < 12
    large = "kept = ['x' * 10**6 for _ in range(60)]\nprint(len(kept))"
    assert [each.stdout for each in await runs(backend, large, "1", "2", "3")] == ["60\n"]


async def test_the_judge_takes_as_many_sandboxes_as_a_program_needs(backend: SandboxBackend) -> None:
    tests = [StdinTest(stdin=f"{n}\n", stdout=f"{n}\n") for n in range(6)]
    problem = Problem(
        id="large", family="large", difficulty=Difficulty.EASY, split=Split.TRAIN, prompt="?", style="stdin",
        stdin_tests=tests,
    )  # fmt: skip
    judge = Judge(backend, concurrency=2, limits=QUICK)
    verdict = await judge.judge(problem, "kept = ['x' * 10**6 for _ in range(60)]\nprint(input())")
    assert (verdict.passed_tests, verdict.total_tests) == (6, 6)
    stuck = await judge.judge(problem, "n = int(input())\nwhile n == 2: pass\nprint(n)")
    assert [each.status for each in stuck.tests] == ["passed"] * 2 + ["timeout"] + ["passed"] * 3
