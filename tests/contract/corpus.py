"""The hostile corpus played against one backend: rewards, the deadline, the next episode, and what is left behind."""

import asyncio
import platform

import psutil
import pytest

from skyscale.envs.judge import Judge
from skyscale.sandboxes.sandbox import Limits, SandboxBackend
from skyscale.wire.episodes import Outcome
from tests.contract.footprint import footprint, processes_at_most
from tests.contract.hostile import CHEATS, HANGS, LEAVES_THINGS, REFUSED, TRY
from tests.contract.test_sandbox import DOUBLE, call

GRACE_MS = 2000
"""Beyond the deadline, for a machine that is shared: from the limit to the verdict."""
IS_CLEAN = "import os, builtins\ndef f(x): return [os.listdir('/tmp'), hasattr(builtins, 'mark'), x]"


async def play(backend: SandboxBackend, cheats: list[str], hangs: list[str], limits: Limits) -> None:
    """Every cheat scores 0, every hang ends at the deadline, and nothing of either is left."""
    judge = Judge(backend, concurrency=2, limits=limits)
    assert (await judge.judge(DOUBLE, "def f(x): return x * 2")).reward == 1.0
    await asyncio.sleep(1.0)  # until the pool is full
    before, num_processes = footprint(), len(psutil.Process().children(recursive=True))
    programs = {name: CHEATS.get(name, HANGS.get(name, "")) for name in (*cheats, *hangs)}
    verdicts = await asyncio.gather(*(judge.judge(DOUBLE, code) for code in programs.values()))
    for name, verdict in zip(programs, verdicts, strict=True):
        assert (verdict.reward, verdict.outcome, len(verdict.tests)) == (0.0, Outcome.SCORED, 3), (name, verdict)
        assert verdict.duration_ms < limits.wall_s * 1000 + GRACE_MS, (name, verdict.duration_ms)
        assert not any("80" in test.detail for test in verdict.tests), name
        if name in hangs:
            assert verdict.tests[0].status == "timeout", (name, verdict)
    for name in (name for name in cheats if name in LEAVES_THINGS):
        assert (await judge.judge(DOUBLE, CHEATS[name])).reward == 0.0, name
        assert (await call(backend, IS_CLEAN, (1,))).calls[0].value == "[[],false,1]", name
    assert (await judge.judge(DOUBLE, "def f(x): return x * 2")).reward == 1.0
    await processes_at_most(num_processes + 2)
    assert footprint() == before


async def probe(backend: SandboxBackend, allowed: set[str]) -> None:
    """Every probe of the border is refused, but for those that this backend's own kernel answers to."""
    if platform.machine() != "x86_64":
        pytest.skip("the corpus has x86_64 call numbers")
    code = TRY + "PROBES = {" + ",".join(f"{n!r}: lambda: {e}" for n, e in REFUSED.items()) + "}\n"
    code += "def f(name): return tried(PROBES[name])"
    execution = await call(backend, code, *[(name,) for name in REFUSED])
    ends = {name: call.value or call.status for name, call in zip(REFUSED, execution.calls, strict=True)}
    assert {name for name, end in ends.items() if end != '"refused"'} == allowed, (ends, execution.stderr)
