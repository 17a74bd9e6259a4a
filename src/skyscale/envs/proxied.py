"""Test code and candidate's code in two sandboxes: the one asks, the other answers, texts pass through here.

Both ends come from the warm pool. What ends the candidate for good (a kill, a timeout, a lie) ends the tests
with that status; what it printed is the verdict's output.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from skyscale.envs.test_code import TestPlan
from skyscale.errors import SandboxFailure
from skyscale.sandboxes.sandbox import (
    CallResult,
    CallStatus,
    Execution,
    Limits,
    Sandbox,
    SandboxBackend,
    TalkingSandbox,
)

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
            return await _converse(candidate, checker, plan, entry_point, code, limits)
        finally:
            close(checker)
    finally:
        close(candidate)


async def _converse(
    candidate: TalkingSandbox, checker: TalkingSandbox, plan: TestPlan, entry_point: str, code: str, limits: Limits
) -> Execution:
    """Both ends load at the same time; the first question waits for the candidate."""
    loading = asyncio.create_task(candidate.load(code, entry_point, limits))

    async def answer(arguments: str) -> CallResult:
        loaded = await asyncio.shield(loading)
        return await candidate.call(arguments) if loaded.status == CallStatus.OK else _NOT_LOADED

    try:
        tested = await checker.run_tests(plan.source, entry_point, plan.num_tests, limits, answer=answer)
        loaded = await loading
    finally:
        loading.cancel()
    printed = await candidate.finish()
    if loaded.status != CallStatus.OK:
        return replace(printed, status=loaded.status, calls=[loaded] * plan.num_tests, duration_ms=tested.duration_ms)
    return replace(
        printed, status=tested.status, calls=tested.calls, detail=tested.detail, exit_code=0,
        duration_ms=tested.duration_ms,
    )  # fmt: skip


_NOT_LOADED = CallResult(CallStatus.NO_ENTRY_POINT, detail="not loaded")
"""Ends the tests; why it was not loaded is told in their place."""


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
