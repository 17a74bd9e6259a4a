"""Twenty solved problems of each style on every backend: the same rewards everywhere, to the last digit."""

import asyncio
from collections.abc import AsyncIterator
from functools import cache

import pytest
import pytest_asyncio

from skyscale.envs.judge import FREE_CHARS, PENALTY_PER_CHAR, Judge
from skyscale.envs.registry import load_problem_set
from skyscale.errors import SandboxFailure
from skyscale.sandboxes.loading import load_backend
from skyscale.sandboxes.sandbox import Limits
from skyscale.wire.problems import Problem
from tests.contract.made_set import MADE_SET

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]  # the first may build an image

STYLES = ("calls", "stdin", "asserts")
EMULATED = Limits(wall_s=30.0, cpu_s=30)
"""An emulated machine on a busy host is slow, which must not show in a reward."""


@cache
def problems(style: str) -> list[Problem]:
    """Twenty, of as many families as there are."""
    if style == "asserts":
        return MADE_SET
    families: dict[str, list[Problem]] = {}
    for problem in load_problem_set().problems:
        if problem.style == style:
            families.setdefault(problem.family, []).append(problem)
    turns = [problem for turn in zip(*families.values(), strict=False) for problem in turn]
    return turns[:20]


def solution(problem: Problem, index: int) -> str:
    """Every fourth is longer than what is free, so that the penalty is seen."""
    padding = "#" * (FREE_CHARS + 100) if index % 4 == 3 else ""
    return (problem.solution or "") + "\n" + padding


STEP = {"process": 1, "gvisor": 7, "qemu": 7}
"""Which problems are always played: all of them where that is quick."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=sorted(STEP))
async def found(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Judge]]:
    judge = Judge(load_backend(request.param, slots=2), concurrency=2, limits=EMULATED)
    try:
        await judge.start()
    except SandboxFailure as failure:
        pytest.skip(f"{request.param}: {failure.detail}")
    yield request.param, judge
    await judge.stop()


async def check(judge: Judge, style: str, step: int) -> None:
    asked = list(enumerate(problems(style)))[::step]
    verdicts = await asyncio.gather(*(judge.judge(p, solution(p, index)) for index, p in asked))
    earned = {p.id: v.reward for (_, p), v in zip(asked, verdicts, strict=True)}
    lengths = {p.id: len(solution(p, index)) for index, p in asked}
    due = {key: 1.0 - PENALTY_PER_CHAR * max(0, length - FREE_CHARS) for key, length in lengths.items()}
    assert earned == due, [v for v in verdicts if v.passed_tests != v.total_tests]
    assert min(due.values()) < 1.0 == max(due.values())


@pytest.mark.parametrize("style", STYLES)
async def test_solved_problems_earn_what_is_due(found: tuple[str, Judge], style: str) -> None:
    assert len(problems(style)) == 20
    await check(found[1], style, STEP[found[0]])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("style", STYLES)
async def test_all_solved_problems_earn_what_is_due(found: tuple[str, Judge], style: str) -> None:
    await check(found[1], style, 1)
