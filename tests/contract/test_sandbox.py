"""The sandbox contract, on every backend that this host can start. `-k hostile` runs the corpus of attacks alone."""

import asyncio
import os
import platform
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from skyscale.envs.judge import Judge
from skyscale.errors import SandboxFailure
from skyscale.sandboxes.encoding import encode
from skyscale.sandboxes.loading import load_backend
from skyscale.sandboxes.sandbox import CallStatus, EndedAtOnce, Execution, Limits, SandboxBackend
from skyscale.wire.episodes import Outcome, Verdict
from skyscale.wire.problems import Difficulty, Problem, Split, StdinTest
from tests.contract.footprint import footprint, processes_at_most, zygotes
from tests.contract.hostile import CHEATS, HANGS, LEAVES_THINGS, REFUSED, TRY

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUICK = Limits(wall_s=1.0)
DOUBLE = Problem(
    id="double", family="t", prompt="Double x.", difficulty=Difficulty.EASY, split=Split.TRAIN, style="calls",
    entry_point="f", test_cases=["assert f(3) == 6", "assert f(40) == 80", "assert f('ab') == 'abab'"],
)  # fmt: skip
ECHO = Problem(
    id="echo", family="t", prompt="Print the sum.", difficulty=Difficulty.EASY, split=Split.TRAIN, style="stdin",
    stdin_tests=[StdinTest(stdin="1 2\n", stdout="3\n"), StdinTest(stdin="5 6", stdout="11")],
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["process"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[SandboxBackend]:
    """A started backend; hosts that cannot isolate code skip with the reason."""
    made = load_backend(request.param, slots=2)
    try:
        await made.start()
    except SandboxFailure as failure:
        pytest.skip(f"{request.param}: {failure.detail}")
    yield made
    await made.stop()


@pytest.fixture
def judge(backend: SandboxBackend) -> Judge:
    return Judge(backend, concurrency=2, limits=QUICK)


async def call(
    backend: SandboxBackend, code: str, *arguments: tuple[object, ...], limits: Limits | None = None
) -> Execution:
    """Run `f` of `code` once per argument tuple in a fresh sandbox."""
    sandbox = await backend.acquire()
    try:
        return await sandbox.run_calls(code, "f", [encode(a) for a in arguments or ((),)], limits or Limits())
    finally:
        await sandbox.close()


async def program(backend: SandboxBackend, code: str, stdin: str = "", limits: Limits | None = None) -> Execution:
    """Run `code` as a program in a fresh sandbox."""
    sandbox = await backend.acquire()
    try:
        return await sandbox.run_program(code, stdin, limits or Limits())
    finally:
        await sandbox.close()


async def test_values_come_back_with_their_exact_types(backend: SandboxBackend) -> None:
    values = [1, -(2**70), 1.5, True, None, "aé\n\ud800", b"\0x", (1, [2]), {1, 2}, {"k": (1,)}, 1j, frozenset({3})]
    execution = await call(backend, "def f(x): return x", *[(value,) for value in values])
    assert [c.value for c in execution.calls] == [encode(value) for value in values]
    assert execution.status == CallStatus.OK


async def test_each_call_has_its_own_status(backend: SandboxBackend) -> None:
    code = "def f(x):\n if x == 0: raise KeyError(x)\n if x == 1: return object()\n print('p', x)\n return x"
    execution = await call(backend, code, (0,), (1,), (2,))
    assert [c.status for c in execution.calls] == [CallStatus.EXCEPTION, CallStatus.UNSUPPORTED_VALUE, CallStatus.OK]
    assert execution.calls[0].detail == "KeyError"
    assert execution.stdout == "p 2\n"
    assert 'File "<solution>", line 2, in f' in execution.stderr


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("def f(:", CallStatus.SYNTAX_ERROR),
        ("x = 1", CallStatus.NO_ENTRY_POINT),
        ("1 / 0", CallStatus.EXCEPTION),
        ("while True: pass", CallStatus.TIMEOUT),
        ("x = bytearray(10**10)", CallStatus.MEMORY),
        ("while True: print('x' * 999)", CallStatus.OUTPUT_LIMIT),
        ("import ctypes; ctypes.string_at(0)", CallStatus.KILLED),
        ("import os; os.write(3, b'xxxxxxxx')", CallStatus.PROTOCOL_VIOLATION),
    ],
)
async def test_loading_ends_as_it_should(backend: SandboxBackend, code: str, status: CallStatus) -> None:
    execution = await call(backend, code, (1,), (2,), limits=QUICK)
    assert [execution.status, *[c.status for c in execution.calls]] == [status] * 3


async def test_results_before_a_timeout_are_kept(backend: SandboxBackend) -> None:
    execution = await call(backend, "def f(x):\n while x: pass\n return x", (0,), (1,), (0,), limits=QUICK)
    assert [c.status for c in execution.calls] == [CallStatus.OK, CallStatus.TIMEOUT, CallStatus.TIMEOUT]
    assert 900 < execution.duration_ms < 3000


async def test_a_program_reads_its_input_and_prints(backend: SandboxBackend) -> None:
    code = "import sys\nif __name__ == '__main__':\n print(input()[::-1]); print(sys.stdin.read()); sys.exit(3)"
    execution = await program(backend, code, "abc\nrest é")
    assert (execution.stdout, execution.exit_code) == ("cba\nrest é\n", 3)
    assert execution.status == CallStatus.EXCEPTION
    assert (await program(backend, "print(1)\nexit(0)")).status == CallStatus.OK


async def test_common_modules_work(backend: SandboxBackend) -> None:
    code = (
        "import asyncio, math, re, json, heapq, decimal, datetime, dataclasses, tempfile, statistics, bisect\n"
        "async def g(): await asyncio.sleep(0); return math.comb(5, 2)\n"
        "def f():\n with tempfile.TemporaryFile() as t: t.write(b'x')\n return asyncio.run(g())"
    )
    execution = await call(backend, code)
    assert execution.calls[0].value == "10", execution


async def test_hashes_and_random_numbers_repeat(backend: SandboxBackend) -> None:
    code = "import random\ndef f(): return [hash('x'), random.random(), list({'a', 'b', 'c', 'd'})]"
    first, second = await call(backend, code), await call(backend, code)
    assert first.calls[0].status == CallStatus.OK
    assert first.calls == second.calls


async def test_nothing_of_an_episode_is_left_for_the_next(backend: SandboxBackend) -> None:
    code = (
        "import math, os, builtins\n"
        "def f():\n seen = [os.path.exists('/tmp/mark'), hasattr(math, 'mark'), hasattr(builtins, 'mark')]\n"
        " open('/tmp/mark', 'w').write('x'); math.mark = builtins.mark = 1\n return seen"
    )
    for _ in range(6):
        assert (await call(backend, code)).calls[0].value == "[false,false,false]"


async def test_a_sandbox_is_used_once_and_closed_twice(backend: SandboxBackend) -> None:
    sandbox = await backend.acquire()
    await sandbox.run_program("print(1)", "", Limits())
    with pytest.raises(SandboxFailure):
        await sandbox.run_program("print(1)", "", Limits())
    await sandbox.close()
    await sandbox.close()
    unused = await backend.acquire()
    await asyncio.gather(unused.close(), unused.close())


async def test_it_sees_no_environment_no_descriptors_no_processes(backend: SandboxBackend) -> None:
    code = TRY + (
        "def f():\n fds = [n for n in range(100) if tried(lambda: os.fstat(n)) != 'refused']\n"
        " return [dict(os.environ), fds, os.getpid(), os.getppid(), os.getuid(), os.uname()[1], os.getcwd()]"
    )
    value = (await call(backend, code)).calls[0].value
    assert value == encode([{}, [0, 1, 2, 3], 1, 0, 0, "sandbox", "/tmp"])


async def test_a_token_of_the_control_plane_is_nowhere_in_its_memory(
    backend: SandboxBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "tok" + "en-of-the-host")
    fresh = load_backend(backend.name, slots=1)
    code = (
        "import ctypes, os\ndef f():\n lib = ctypes.CDLL(None)\n base = ctypes.c_char_p.in_dll(lib,"
        "'program_invocation_name')\n start = ctypes.cast(base, ctypes.c_void_p).value\n found, fd = b'', os.pipe()\n"
        " while len(found) < 40000 and lib.write(fd[1], ctypes.c_void_p(start), 64) > 0:\n"
        "  found += os.read(fd[0], 64); start += 64\n return [len(found) > 64, b'en-of-the-host' in found]"
    )
    async with fresh:
        execution = await call(fresh, code)
    assert execution.calls[0].value in ("[true,false]", "[false,false]"), execution


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the corpus has x86_64 call numbers")
async def test_hostile_probes_of_the_border_are_refused(backend: SandboxBackend) -> None:
    code = TRY + "PROBES = {" + ",".join(f"{n!r}: lambda: {e}" for n, e in REFUSED.items()) + "}\n"
    code += "def f(name): return tried(PROBES[name])"
    execution = await call(backend, code, *[(name,) for name in REFUSED])
    ends = {name: call.value or call.status for name, call in zip(REFUSED, execution.calls, strict=True)}
    assert {name: end for name, end in ends.items() if end != '"refused"'} == {}, execution.stderr


async def test_hostile_code_leaves_nothing_and_the_next_episode_is_clean(backend: SandboxBackend, judge: Judge) -> None:
    """One after the other, so that the next episode is told apart."""
    leaves = "import os, builtins\ndef f(x): return [os.listdir('/tmp'), hasattr(builtins, 'mark'), x]"
    await asyncio.sleep(0.3)  # until the pool is full
    before, num_processes = footprint(), len(psutil.Process().children(recursive=True))
    for name in LEAVES_THINGS:
        assert (await judge.judge(DOUBLE, CHEATS[name])).reward == 0.0, name
        assert (await call(backend, leaves, (1,))).calls[0].value == "[[],false,1]", name
    await processes_at_most(num_processes)
    assert footprint() == before


async def test_hostile_cheats_score_nothing(judge: Judge) -> None:
    assert len(CHEATS) + len(HANGS) >= 80
    before, num_processes = footprint(), len(psutil.Process().children(recursive=True))
    verdicts = dict(zip(CHEATS, await asyncio.gather(*(judge.judge(DOUBLE, c) for c in CHEATS.values())), strict=True))
    assert max(v.duration_ms for v in verdicts.values()) < QUICK.wall_s * 1000 + 2000
    assert {n: v for n, v in verdicts.items() if v.reward or v.outcome != Outcome.SCORED or len(v.tests) != 3} == {}
    assert "80" not in "".join(t.detail for v in verdicts.values() for t in v.tests)
    assert (await judge.judge(DOUBLE, "def f(x): return x * 2")).reward == 1.0
    await processes_at_most(num_processes + 2)
    assert footprint() == before


async def test_hostile_hangs_end_at_the_deadline(judge: Judge) -> None:
    started = time.monotonic()
    verdicts = await asyncio.gather(*(judge.judge(DOUBLE, code) for code in HANGS.values()))
    assert [v.tests[0].status for v in verdicts] == ["timeout"] * len(HANGS)
    assert time.monotonic() - started < QUICK.wall_s * len(HANGS) + 5


async def test_hostile_forks_die_with_their_episode(backend: SandboxBackend) -> None:
    code = (
        "import os, time\n"
        "def f():\n n = 0\n try:\n  while n < 100:\n   if os.fork() == 0: time.sleep(60)\n   n += 1\n"
        " except OSError: pass\n return n"
    )
    before = len(psutil.Process().children(recursive=True))
    sandbox = await backend.acquire()
    execution = await sandbox.run_calls(code, "f", [encode(())], Limits(max_processes=8, wall_s=3))
    await sandbox.close()
    assert execution.calls[0].status == CallStatus.OK
    assert 1 <= int(execution.calls[0].value) <= 8
    await settled(lambda: len(psutil.Process().children(recursive=True)) <= before)


async def test_scratch_space_is_limited(backend: SandboxBackend) -> None:
    code = (
        "def f():\n size = 0\n try:\n  for n in range(10):\n   with open(f'/tmp/{n}', 'wb') as t:\n"
        "    for _ in range(8): size += t.write(bytes(10**6))\n except OSError: pass\n return size"
    )
    written = (await call(backend, code)).calls[0].value
    assert 8 * 10**6 <= int(written) <= 17 * 10**6


async def test_the_kernel_confirms_who_it_is(backend: SandboxBackend) -> None:
    sandbox = await backend.acquire()
    status = kernel_status(sandbox.pid)  # type: ignore[attr-defined]
    await sandbox.close()
    assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == ["0" * 16]
    assert (status["NoNewPrivs"], status["Seccomp"]) == (["1"], ["2"])
    assert set(status["Uid"]) != {"0"}
    if os.geteuid() == 0:
        assert int(status["Uid"][0]) >= 100_001


async def test_every_sandbox_can_be_killed_when_it_is_handed_out(backend: SandboxBackend) -> None:
    for _ in range(5):
        sandboxes = await asyncio.gather(*(backend.acquire() for _ in range(8)))
        assert all(sandbox.pid > 0 for sandbox in sandboxes)  # type: ignore[attr-defined]
        await asyncio.gather(*(sandbox.close() for sandbox in sandboxes))


async def test_a_sandbox_that_is_ended_at_once_is_gone_with_its_descriptors(backend: SandboxBackend) -> None:
    me = psutil.Process()
    await asyncio.sleep(0.3)  # until the pool is full
    sandbox = await backend.acquire()
    assert isinstance(sandbox, EndedAtOnce)
    running = asyncio.create_task(sandbox.run_calls("while True: pass", "f", [encode(())], Limits()))
    await asyncio.sleep(0.2)  # it runs, and the pool is full again
    pid, fds = int(getattr(sandbox, "pid", 0)), me.num_fds()
    assert pid > 0
    running.cancel()
    await asyncio.wait((running,))
    sandbox.end()
    sandbox.end()
    await settled(lambda: not psutil.pid_exists(pid) and me.num_fds() <= fds - 3)  # its channel and two pipes
    await sandbox.close()


async def test_the_report_names_every_layer(backend: SandboxBackend) -> None:
    report = backend.report()
    assert report["network namespace"] == report["seccomp"] == report["verified from outside"] == "yes"
    assert all(value == "yes" or value.startswith("no: ") for value in report.values())


async def test_descriptors_and_processes_do_not_grow(backend: SandboxBackend) -> None:
    judge = Judge(backend, concurrency=4)
    me = psutil.Process()
    await asyncio.gather(*(judge.judge(DOUBLE, "def f(x): return x * 2") for _ in range(20)))
    await asyncio.sleep(0.5)
    fds, children = me.num_fds(), len(me.children(recursive=True))
    verdicts = await asyncio.gather(*(judge.judge(DOUBLE, "def f(x): return x * 2") for _ in range(200)))
    assert {v.reward for v in verdicts} == {1.0}
    await settled(lambda: me.num_fds() <= fds + 8 and len(me.children(recursive=True)) <= children + 2)


async def test_stopping_leaves_no_process(backend: SandboxBackend) -> None:
    fresh = load_backend(backend.name, slots=2)
    await asyncio.sleep(0.3)  # until the other backend's pool is full
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    await fresh.start()
    sandbox = await fresh.acquire()
    running = asyncio.create_task(sandbox.run_calls("while True: pass", "f", [encode(())], Limits()))
    await asyncio.sleep(0.1)
    started = {child.pid for child in psutil.Process().children(recursive=True)} - before
    assert started
    await fresh.stop()
    with pytest.raises(SandboxFailure):
        await running
    await settled(lambda: not any(psutil.pid_exists(pid) for pid in started))
    with pytest.raises(SandboxFailure):
        await fresh.acquire()


async def test_a_killed_zygote_is_replaced_and_its_episodes_fail_as_ours() -> None:
    async with load_backend("process", slots=1) as fresh:
        before = zygotes()
        sandbox = await fresh.acquire()
        running = asyncio.create_task(sandbox.run_calls("while True: pass", "f", [encode(())], Limits()))
        await asyncio.sleep(0.1)
        parent = psutil.Process(sandbox.pid).parent()  # type: ignore[attr-defined]
        assert parent in before
        parent.kill()
        with pytest.raises(SandboxFailure):
            await running
        await sandbox.close()
        assert (await call(fresh, "def f(): return 7")).calls[0].value == "7"


async def test_a_sandbox_that_dies_waiting_is_never_handed_out() -> None:
    async with load_backend("process", slots=1) as fresh:
        await (await fresh.acquire()).close()
        await asyncio.sleep(0.3)
        for waiting in [child for zygote in zygotes() for child in zygote.children(recursive=True)]:
            waiting.kill()
        await asyncio.sleep(0.2)
        for _ in range(4):
            assert (await call(fresh, "def f(): return 7")).calls[0].value == "7"


async def test_a_broken_sandbox_is_a_verdict_without_a_reward() -> None:
    verdict = await Judge(load_backend("process"), concurrency=1).judge(DOUBLE, "def f(x): return 2 * x")
    assert verdict.outcome == Outcome.INFRASTRUCTURE_FAILURE
    assert (verdict.reward, verdict.done, verdict.total_tests) == (0.0, False, 3)


async def test_programs_are_judged_by_what_they_print(judge: Judge) -> None:
    async def judged(code: str) -> Verdict:
        return await judge.judge(ECHO, code)

    assert (await judged("print(sum(map(int, input().split())), ' ')\n\nprint()")).reward == 1.0
    assert (await judged("print(3)")).reward == 0.5
    assert (await judged("print(3); raise SystemExit(1)")).reward == 0.0
    assert [t.status for t in (await judged("while 1: pass")).tests] == ["timeout", "timeout"]
    assert (await judged("print(")).tests[1].status == "syntax_error"
    leaves_a_mark = "open('/tmp/s', 'a').write('x')\nimport os\nprint(os.path.getsize('/tmp/s') * 3)"
    assert (await judged(leaves_a_mark)).reward == 0.5


async def test_a_host_without_user_namespaces_is_refused() -> None:
    script = (
        "import asyncio\nfrom skyscale.sandboxes.loading import load_backend\n"
        "from skyscale.errors import SandboxFailure\nfrom skyscale.sandboxes.sandbox import Limits\n"
        "async def main(weak):\n"
        " async with load_backend(slots=1, allow_weak=weak) as b:\n"
        "  s = await b.acquire()\n  e = await s.run_calls('f = abs', 'f', ['{\"t\":[-7]}'], Limits())\n"
        "  print(e.calls[0].value)\n"
        "try: asyncio.run(main(False))\nexcept SandboxFailure as e: print(e.code, 'user namespace' in e.detail)\n"
        "asyncio.run(main(True))\n"
    )
    command = ["unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" -c "$1"']
    done = await asyncio.to_thread(
        subprocess.run, [*command, sys.executable, script], capture_output=True, text=True, timeout=60
    )
    if "unshare failed" in done.stderr or "Permission denied" in done.stderr:
        pytest.skip(f"no namespace to forbid namespaces in: {done.stderr}")
    assert done.stdout.split("\n")[:2] == ["sandbox_isolation_missing True", "7"], done.stderr


def kernel_status(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


async def settled(is_true: Callable[[], bool]) -> None:
    """Wait until the condition holds; the kernel takes a moment to bury processes."""
    deadline = time.monotonic() + 5
    while not is_true():
        assert time.monotonic() < deadline, "did not settle"
        await asyncio.sleep(0.02)
