"""Reference solutions are judged before a set is kept: one that fails its own tests would teach nonsense.

- A solution must pass every test, a wrong solution must fail one; what is not so is an error with its line and test.
- Few at a time, so that live runs keep most sandboxes; and for a bounded time, after which the rest is not checked and
  the report says so.
- A time-out may be the machine's fault: it is tried once more. A broken sandbox is nobody's mistake: it is tried once
  more, then the upload fails as unavailable.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from skyscale.errors import SandboxFailure
from skyscale.problems.uploads import Tell
from skyscale.wire.episodes import Outcome, Verdict
from skyscale.wire.problems import Problem

BUDGET_S = 600.0
MAX_SHOWN_ERRORS = 20
UNSTABLE = ("timeout", "killed")


class Judge(Protocol):
    """Judges a program (`envs.judge`)."""

    async def judge(self, problem: Problem, code: str) -> Verdict:
        """The verdict."""
        ...


@dataclass(slots=True)
class SolutionReport:
    """What became of the solutions of a set."""

    checked: int = 0
    skipped: int = 0
    """Problems that there was no time for."""
    errors: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """Line number and mistake."""

    def notes(self) -> list[str]:
        """What the uploader should know."""
        if not self.skipped:
            return []
        return [f"there was no time to check the solutions of {self.skipped} problems (after {BUDGET_S:.0f} s)"]


async def check(
    judge: Judge, problems: Path, lines: list[int], num_problems: int, at_once: int, tell: Tell,
    budget_s: float = BUDGET_S,
) -> SolutionReport:  # fmt: skip
    """Judge the solutions in a canonical file; `lines` are the source lines of its problems.

    Raises SandboxFailure when sandboxes do not work.
    """
    report, done = SolutionReport(), 0
    waiting = _with_solutions(problems, lines)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + budget_s

    async def work() -> None:
        nonlocal done
        for number, problem in waiting:  # shared: each worker takes the next one
            if loop.time() > deadline or len(report.errors) >= MAX_SHOWN_ERRORS:
                report.skipped += 1
                continue
            await _check_one(judge, number, problem, report)
            done += 1
            tell("solutions", done, num_problems)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())
    except ExceptionGroup as several:
        raise several.exceptions[0] from several
    report.errors.sort()
    return report


def _with_solutions(problems: Path, lines: list[int]) -> Iterator[tuple[int, Problem]]:
    with problems.open("rb") as source:
        for number, line in zip(lines, source, strict=True):
            if b'"solution"' in line or b'"wrong_solutions"' in line:
                problem = Problem.model_validate_json(line)
                if problem.solution is not None or problem.wrong_solutions:
                    yield number, problem


async def _check_one(judge: Judge, number: int, problem: Problem, report: SolutionReport) -> None:
    if problem.solution is not None:
        verdict = await _stable_verdict(judge, problem, problem.solution)
        report.checked += 1
        if verdict.passed_tests < verdict.total_tests:
            report.errors.append((number, f"solution: {_failure(problem, verdict)}"))
            return
    for index, code in enumerate(problem.wrong_solutions):
        verdict = await _stable_verdict(judge, problem, code)
        report.checked += 1
        if verdict.passed_tests == verdict.total_tests:
            report.errors.append((number, f"wrong_solutions.{index}: passes every test"))


async def _stable_verdict(judge: Judge, problem: Problem, code: str) -> Verdict:
    verdict = await judge.judge(problem, code)
    is_broken = verdict.outcome is Outcome.INFRASTRUCTURE_FAILURE
    if is_broken or any(test.status in UNSTABLE for test in verdict.tests):
        verdict = await judge.judge(problem, code)
    if verdict.outcome is Outcome.INFRASTRUCTURE_FAILURE:
        raise SandboxFailure("solutions cannot be checked: " + verdict.stderr)
    return verdict


def _failure(problem: Problem, verdict: Verdict) -> str:
    index, test = next((i, test) for i, test in enumerate(verdict.tests) if not test.passed)
    shown = problem.test_cases[index] if index < len(problem.test_cases) else ""
    if problem.stdin_tests:
        shown = f"stdin {problem.stdin_tests[index].stdin[:80]!r}"
    reason = f"{test.status}, {test.detail}" if test.detail else test.status
    return f"fails test {index + 1} of {verdict.total_tests} ({reason}){': ' + shown[:200] if shown else ''}"
