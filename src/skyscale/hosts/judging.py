"""Judging, spread over hosts; without a host it happens here, with nothing in between.

- A batch goes to the least loaded host. What a host cannot judge goes to the next one, and in the end to our own judge:
  a verdict is deterministic, so asking twice does no harm.
- A verdict of infrastructure failure stands only when nobody could judge the program. It is never a reward.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

from skyscale.errors import SkyscaleError
from skyscale.hosts import rules
from skyscale.hosts.host import Host
from skyscale.hosts.service import HostService
from skyscale.wire.episodes import Outcome, Verdict
from skyscale.wire.problems import Problem


class OwnJudge(Protocol):
    """The judge of this process (`envs.judge`)."""

    async def judge_all(self, problem: Problem, codes: Sequence[str]) -> list[Verdict]:
        """Verdicts in the order of the programs."""
        ...


class SpreadJudge:
    """The judge that a control plane uses."""

    def __init__(self, hosts: HostService, own: OwnJudge) -> None:
        self._hosts = hosts
        self._own = own

    async def judge_all(self, problem: Problem, codes: Sequence[str]) -> list[Verdict]:
        """Verdicts in the order of the programs.

        Raises:
            ValueError: the problem has no tests, or they cannot be understood.
        """
        if not self._hosts.usable():
            return await self._own.judge_all(problem, codes)
        found = await asyncio.gather(*(self._batch(problem, batch) for batch in rules.batches(codes)))
        return [verdict for batch in found for verdict in batch]

    async def _batch(self, problem: Problem, codes: list[str]) -> list[Verdict]:
        verdicts: dict[str, Verdict] = {}
        asked: set[str] = set()
        while left := [code for code in codes if code not in verdicts]:
            host = self._least_loaded(asked)
            found = await (self._own.judge_all(problem, left) if host is None else self._ask(host, problem, left))
            if host is None:
                verdicts |= dict(zip(left, found, strict=True))
                continue
            asked.add(host.host_id)
            judged = zip(left, found, strict=False)
            verdicts |= {code: v for code, v in judged if v.outcome is not Outcome.INFRASTRUCTURE_FAILURE}
        return [verdicts[code] for code in codes]

    def _least_loaded(self, but: set[str]) -> Host | None:
        ranked = cast("list[Host]", rules.by_judging(self._hosts.usable(but)))
        return ranked[0] if ranked else None

    async def _ask(self, host: Host, problem: Problem, codes: list[str]) -> list[Verdict]:
        """Its verdicts; none when it fails us."""
        host.num_ours += len(codes)
        try:
            return await host.unless_lost(host.client.judge(problem, codes, rules.deadline_s(len(codes))))
        except SkyscaleError as error:
            self._hosts.suspect(host, error)
            return []
        finally:
            host.num_ours -= len(codes)
