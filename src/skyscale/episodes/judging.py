"""Verdicts for many programs of one problem: each distinct program runs once, in a fresh sandbox, concurrently.

- Judging is deterministic, so verdicts are remembered by problem content and code; unstable ones never are.
- A broken sandbox is tried once more in a fresh one; then the outcome is an infrastructure failure, never a reward of 0
  that the policy would learn from.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from time import perf_counter
from typing import Protocol

from skyscale.episodes import rules
from skyscale.errors import SandboxFailure
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.episodes import Outcome, Verdict
from skyscale.wire.problems import Problem


class Judge(Protocol):
    """Runs a program against a problem's hidden tests (`envs.judge`)."""

    async def judge(self, problem: Problem, code: str) -> Verdict:
        """The verdict; a broken sandbox is an infrastructure failure or raises SandboxFailure."""
        ...


class Judging:
    """The judge with a memory."""

    def __init__(self, judge: Judge, cache_entries: int, metrics: Metrics) -> None:
        self._judge = judge
        self._metrics = metrics
        self._cache_entries = cache_entries
        self._cache: OrderedDict[bytes, Verdict] = OrderedDict()

    async def verdicts(self, problem: Problem, codes: Sequence[str]) -> list[Verdict]:
        """Verdicts in the order of the programs."""
        distinct = list(dict.fromkeys(codes))
        found = await asyncio.gather(*(self._verdict(problem, code) for code in distinct))
        by_code = dict(zip(distinct, found, strict=True))
        return [by_code[code] for code in codes]

    async def _verdict(self, problem: Problem, code: str) -> Verdict:
        key = rules.verdict_key(problem, code)
        known = self._cache.get(key)
        if known is not None:
            self._cache.move_to_end(key)
            self._metrics.sandbox_cached_verdicts.inc()
            return known
        verdict = await self._attempt(problem, code)
        if verdict.outcome == Outcome.INFRASTRUCTURE_FAILURE:
            verdict = await self._attempt(problem, code)
        if self._cache_entries > 0 and rules.may_remember(verdict):
            self._cache[key] = verdict
            while len(self._cache) > self._cache_entries:
                self._cache.popitem(last=False)
        return verdict

    async def _attempt(self, problem: Problem, code: str) -> Verdict:
        began = perf_counter()
        try:
            verdict = await self._judge.judge(problem, code)
        except SandboxFailure as error:
            verdict = _broken(str(error))
        self._metrics.judged(verdict.outcome, perf_counter() - began)
        return verdict


def _broken(reason: str) -> Verdict:
    return Verdict(
        outcome=Outcome.INFRASTRUCTURE_FAILURE,
        reward=0.0,
        done=True,
        passed_tests=0,
        total_tests=0,
        tests=[],
        stdout="",
        stderr=reason[:4096],
        exit_code=-1,
        duration_ms=0.0,
    )
