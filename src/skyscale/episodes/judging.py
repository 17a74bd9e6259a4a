"""Verdicts for many programs of one problem: each distinct program runs once, in a fresh sandbox, concurrently.

- Judging is deterministic, so verdicts are remembered by problem content and code; unstable ones never are.
- A broken sandbox is tried once more in a fresh one; then the outcome is an infrastructure failure, never a reward of 0
  that the policy would learn from.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Protocol

from skyscale.episodes import rules
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.episodes import Outcome, Verdict
from skyscale.wire.problems import Problem

ATTEMPTS = 2
BROKEN = Outcome.INFRASTRUCTURE_FAILURE


class Judge(Protocol):
    """Runs programs against a problem's hidden tests: in this process (`envs.judge`) or on hosts (`hosts.judging`)."""

    async def judge_all(self, problem: Problem, codes: Sequence[str]) -> list[Verdict]:
        """Verdicts in the order of the programs; a broken sandbox is an infrastructure failure."""
        ...


class Judging:
    """The judge with a memory."""

    def __init__(
        self,
        judge: Judge,
        cache_entries: int,
        metrics: Metrics,
        spent: Callable[[str, float], None] = lambda run_id, seconds: None,
    ) -> None:
        self._judge = judge
        self.spent = spent
        """Hears for which run a sandbox has worked, and for how many seconds."""
        self._metrics = metrics
        self._cache_entries = cache_entries
        self._cache: OrderedDict[bytes, Verdict] = OrderedDict()

    async def verdicts(self, problem: Problem, codes: Sequence[str], run_id: str | None = None) -> list[Verdict]:
        """Verdicts in the order of the programs; `run_id` is who pays for those that are not remembered."""
        keys = rules.verdict_keys(problem, dict.fromkeys(codes))
        found = {code: verdict for code, key in keys.items() if (verdict := self._known(key)) is not None}
        for _ in range(ATTEMPTS):
            left = [code for code in keys if code not in found or found[code].outcome is BROKEN]
            if left:
                judged = await self._judged(problem, left)
                found |= zip(left, judged, strict=True)
                if run_id is not None:
                    self.spent(run_id, sum(verdict.duration_ms for verdict in judged) / 1000)
                self._remember({keys[code]: found[code] for code in left})
        return [found[code] for code in codes]

    async def _judged(self, problem: Problem, codes: Sequence[str]) -> list[Verdict]:
        began = perf_counter()
        verdicts = await self._judge.judge_all(problem, codes)
        self._metrics.judged([verdict.outcome for verdict in verdicts], perf_counter() - began)
        return verdicts

    def _known(self, key: bytes) -> Verdict | None:
        verdict = self._cache.get(key)
        if verdict is not None:
            self._cache.move_to_end(key)
            self._metrics.sandbox_cached_verdicts.inc()
        return verdict

    def _remember(self, verdicts: Mapping[bytes, Verdict]) -> None:
        if self._cache_entries == 0:
            return
        self._cache |= {key: verdict for key, verdict in verdicts.items() if rules.may_remember(verdict)}
        while len(self._cache) > self._cache_entries:
            self._cache.popitem(last=False)
