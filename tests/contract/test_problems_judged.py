"""The embedded problems through the real judge and sandbox; tests/unit/test_problems.py runs every wrong program."""

import asyncio

import pytest

from skyscale.envs.judge import Judge
from skyscale.envs.registry import load_problem_set
from skyscale.errors import SandboxFailure
from skyscale.sandboxes.loading import load_backend
from skyscale.wire.episodes import Outcome
from skyscale.wire.problems import Problem


async def test_every_solution_scores_one_and_a_wrong_one_of_each_family_less() -> None:
    judge = Judge(load_backend("process", slots=4), concurrency=4)
    try:
        await judge.start()
    except SandboxFailure as failure:
        pytest.skip(failure.detail)
    problems = load_problem_set().problems

    async def rewards(problem: Problem) -> list[float]:
        programs = [problem.solution or "", *(problem.wrong_solutions[:1] if problem.id.endswith("-1") else [])]
        verdicts = [await judge.judge(problem, program) for program in programs]
        assert {verdict.outcome for verdict in verdicts} == {Outcome.SCORED}
        return [verdict.reward for verdict in verdicts]

    try:
        scores = await asyncio.gather(*map(rewards, problems))
    finally:
        await judge.stop()
    bad = [p.id for p, (right, *wrong) in zip(problems, scores, strict=True) if right != 1.0 or 1.0 in wrong]
    assert bad == []
