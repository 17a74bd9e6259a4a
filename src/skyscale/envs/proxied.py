"""Test code and candidate's code in two sandboxes: the one asks, the other answers, texts pass through here.

Both ends come from the warm pool. What ends the candidate for good (a kill, a timeout, a lie) ends the tests
with that status; what it printed is the verdict's output.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from skyscale.envs.test_code import TestPlan
from skyscale.errors import SandboxFailure
from skyscale.sandboxes.sandbox import CallStatus, Execution, Limits, Sandbox, SandboxBackend, TalkingSandbox

Close = Callable[[Sandbox], None]


async def run(
    backend: SandboxBackend, plan: TestPlan, entry_point: str, code: str, limits: Limits, close: Close
) -> Execution:
    """The tests' results as `calls`, and the candidate's output.

    Raises:
        SandboxFailure: a sandbox broke, or the backend's sandboxes cannot talk.
    """
    candidate = await _acquired(backend)
    try:
        checker = await _acquired(backend)
        try:
            started = asyncio.get_running_loop().time()
            loaded = await candidate.load(code, entry_point, limits)
            spent_s = asyncio.get_running_loop().time() - started
            if loaded.status != CallStatus.OK:
                printed = await candidate.finish()
                return replace(
                    printed, status=loaded.status, calls=[loaded] * plan.num_tests, duration_ms=spent_s * 1000
                )
            rest = replace(limits, wall_s=max(0.05, limits.wall_s - spent_s))
            tested = await checker.run_tests(plan.source, entry_point, plan.num_tests, rest, answer=candidate.call)
            printed = await candidate.finish()
        finally:
            close(checker)
    finally:
        close(candidate)
    return replace(
        printed, status=tested.status, calls=tested.calls, detail=tested.detail, exit_code=0,
        duration_ms=tested.duration_ms + spent_s * 1000,
    )  # fmt: skip


async def run_weak(
    backend: SandboxBackend, plan: TestPlan, entry_point: str, code: str, limits: Limits, close: Close
) -> Execution:
    """Both in one sandbox: for tests that need it, and for verdicts that are marked as weak."""
    sandbox = await _acquired(backend)
    try:
        return await sandbox.run_tests(plan.source, entry_point, plan.num_tests, limits, answer=None, code=code)
    finally:
        close(sandbox)


async def _acquired(backend: SandboxBackend) -> TalkingSandbox:
    sandbox = await backend.acquire()
    if not isinstance(sandbox, TalkingSandbox):
        await sandbox.close()
        raise SandboxFailure(f"backend {backend.name!r} cannot run test code beside the candidate's; use `process`")
    return sandbox
