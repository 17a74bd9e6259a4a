"""The judge: submitted code and a problem in, a verdict out.

- The sandbox is told inputs and claims values; expected values stay here, and the comparison happens here. Exit codes
  and printed claims decide nothing.
- Every submission gets a verdict. Bad code scores 0 with a status; a sandbox that broke is `infrastructure_failure`,
  which is never a reward, and the caller tries again.
- `calls` problems take one sandbox; `stdin` problems a run per test, each as if it were the first, in one sandbox where
  the backend can do that, else in one each; `asserts` problems are rewritten to calls, or take two sandboxes
  (`proxied.py`).
- `answer` problems take none: their text is compared, never run (`answers.py`).
- The total is the number of the problem's tests: a missing answer fails, an extra one is ignored.
"""

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeGuard

from skyscale.envs import proxied
from skyscale.envs.answers import is_right
from skyscale.envs.assertions import Assertion, parse_assertion
from skyscale.envs.test_code import TestPlan, plan_for
from skyscale.errors import SandboxFailure
from skyscale.sandboxes.sandbox import (
    CallResult,
    CallStatus,
    EndedAtOnce,
    Execution,
    Limits,
    ManyRuns,
    Pooled,
    Sandbox,
    SandboxBackend,
)
from skyscale.wire.episodes import MAX_CODE_CHARS, Outcome, TestResult, Verdict
from skyscale.wire.problems import Problem, StdinTest, Trust

FREE_CHARS = 500
PENALTY_PER_CHAR = 0.0001
MAX_SHOWN_BYTES = 4096
MAX_TIMEOUTS = 2
"""After this many, the remaining runs of a stdin problem count as timeouts: an endless loop costs 10 s, not 50."""
_MAX_PARSED = 4096


def reward_of(passed_tests: int, total_tests: int, num_chars: int) -> float:
    """passed/total minus a penalty for length beyond `FREE_CHARS`, clamped to [0, 1]."""
    if total_tests == 0:
        return 0.0
    return min(1.0, max(0.0, passed_tests / total_tests - PENALTY_PER_CHAR * max(0, num_chars - FREE_CHARS)))


class Judge:
    """Judges submissions, at most `concurrency` at once."""

    def __init__(self, backend: SandboxBackend, *, concurrency: int, limits: Limits | None = None) -> None:
        self._backend = backend
        self._gate = asyncio.Semaphore(concurrency)
        self._limits = limits or Limits()
        self._parsed: dict[str, tuple[Problem, list[Assertion]]] = {}
        self._plans: dict[str, tuple[Problem, TestPlan]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start the backend; raises SandboxFailure when this host cannot isolate code."""
        await self._backend.start()

    async def stop(self) -> None:
        """End every sandbox."""
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._backend.stop()

    @property
    def num_ready(self) -> int:
        """Sandboxes that wait to be used; 0 where the backend keeps none."""
        return self._backend.num_ready if isinstance(self._backend, Pooled) else 0

    def report(self) -> dict[str, str]:
        """The backend's layers of isolation."""
        return self._backend.report()

    async def judge_all(self, problem: Problem, codes: Sequence[str]) -> list[Verdict]:
        """Verdicts in the order of the programs, judged side by side. Raises as `judge`."""
        return list(await asyncio.gather(*(self.judge(problem, code) for code in codes)))

    async def judge(self, problem: Problem, code: str) -> Verdict:
        """The verdict on `code`.

        Raises:
            ValueError: the problem has no tests, or they cannot be understood.
        """
        if problem.style == "answer":
            return _judge_answer(problem, code)
        total = self._num_tests(problem)
        if total == 0:
            raise ValueError(f"problem {problem.id} has no tests")
        if len(code) > MAX_CODE_CHARS:
            too_long = TestResult(
                passed=False, status="syntax_error", detail=f"longer than {MAX_CODE_CHARS} characters"
            )
            return _verdict(code, [too_long] * total, Execution(status=CallStatus.SYNTAX_ERROR), 0.0)
        try:
            async with self._gate:
                if problem.style == "calls":
                    return await self._judge_calls(problem, code, self._assertions(problem))
                if problem.style == "asserts":
                    return await self._judge_asserts(problem, code)
                return await self._judge_program(problem, code)
        except SandboxFailure as failure:
            return _infrastructure_failure(total, failure)

    async def _judge_calls(self, problem: Problem, code: str, assertions: list[Assertion]) -> Verdict:
        entry_point = problem.entry_point or ""
        sandbox = await self._backend.acquire()
        try:
            arguments = [assertion.arguments for assertion in assertions]
            execution = await sandbox.run_calls(code, entry_point, arguments, self._limits)
        finally:
            self._close_soon(sandbox)
        calls = execution.calls[: len(assertions)]
        calls += [CallResult(CallStatus.PROTOCOL_VIOLATION)] * (len(assertions) - len(calls))
        results = [_call_result(assertion, call) for assertion, call in zip(assertions, calls, strict=True)]
        return _verdict(code, results, execution, execution.duration_ms)

    async def _judge_asserts(self, problem: Problem, code: str) -> Verdict:
        plan = self._plan(problem)
        if plan.is_rewritten:
            return await self._judge_calls(problem, code, plan.assertions)
        run = proxied.run_weak if problem.trust is Trust.WEAK else proxied.run
        execution = await run(self._backend, plan, problem.entry_point or "", code, self._limits, self._close_soon)
        results = [_test_result(call) for call in execution.calls]
        verdict = _verdict(code, results, execution, execution.duration_ms)
        return verdict.model_copy(update={"trust": problem.trust})

    async def _judge_program(self, problem: Problem, code: str) -> Verdict:
        stdins = [test.stdin for test in problem.stdin_tests]
        executions: list[Execution] = []
        while len(executions) < len(stdins):
            hopeless = _hopeless(executions)
            rest = stdins[len(executions) :]
            executions += [hopeless] * len(rest) if hopeless else await self._run_programs(code, rest)
        results = [_run_result(test, run) for test, run in zip(problem.stdin_tests, executions, strict=True)]
        shown = next((run for run, result in zip(executions, results, strict=True) if not result.passed), executions[0])
        return _verdict(code, results, shown, sum(run.duration_ms for run in executions))

    async def _run_programs(self, code: str, stdins: list[str]) -> list[Execution]:
        sandbox = await self._backend.acquire()
        try:
            if _runs_many(sandbox) and self._limits.max_processes == 1:
                return await sandbox.run_programs(code, stdins, self._limits)
            return [await sandbox.run_program(code, stdins[0], self._limits)]
        finally:
            self._close_soon(sandbox)

    def _close_soon(self, sandbox: Sandbox) -> None:
        """Destroy it beside the verdict's way, which need not wait for the process to be reaped."""
        if _ends_at_once(sandbox):
            sandbox.end()
            return
        task = asyncio.get_running_loop().create_task(sandbox.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _num_tests(self, problem: Problem) -> int:
        if problem.style == "asserts":
            return self._plan(problem).num_tests
        return len(problem.test_cases) if problem.style == "calls" else len(problem.stdin_tests)

    def _plan(self, problem: Problem) -> TestPlan:
        known = self._plans.get(problem.id)
        if known is not None and known[0] is problem:
            return known[1]
        if len(self._plans) >= _MAX_PARSED:
            self._plans.clear()
        self._plans[problem.id] = problem, plan_for(problem)
        return self._plans[problem.id][1]

    def _assertions(self, problem: Problem) -> list[Assertion]:
        known = self._parsed.get(problem.id)
        if known is not None and known[0] is problem:
            return known[1]
        assertions = parse_tests(problem)
        if len(self._parsed) >= _MAX_PARSED:
            self._parsed.clear()
        self._parsed[problem.id] = problem, assertions
        return assertions


def _runs_many(sandbox: Sandbox) -> TypeGuard[ManyRuns]:
    return hasattr(sandbox, ManyRuns.run_programs.__name__)  # isinstance of a protocol costs more than all the rest


def _ends_at_once(sandbox: Sandbox) -> TypeGuard[EndedAtOnce]:
    return hasattr(sandbox, EndedAtOnce.end.__name__)


def _judge_answer(problem: Problem, text: str) -> Verdict:
    """Without a length penalty: reasoning may be long."""
    is_passed = is_right(problem, text)
    detail = "" if is_passed else "another answer"
    result = TestResult(passed=is_passed, status="passed" if is_passed else "wrong_answer", detail=detail)
    return _verdict("", [result], Execution(status=CallStatus.OK), 0.0)


def parse_tests(problem: Problem) -> list[Assertion]:
    """The tests of a `calls` problem.

    Raises:
        ValueError: no entry point, or a line that is not understood or calls another function.
    """
    if not problem.entry_point:
        raise ValueError(f"problem {problem.id} has style `calls` and no entry_point")
    assertions = [parse_assertion(line) for line in problem.test_cases]
    for line, assertion in zip(problem.test_cases, assertions, strict=True):
        if assertion.entry_point != problem.entry_point:
            raise ValueError(f"problem {problem.id} tests {problem.entry_point}, but this line does not: {line!r}")
    return assertions


def same_output(actual: str, expected: str) -> bool:
    """Whether two outputs are equal but for white space at the ends of lines and of the whole."""
    return actual == expected or _lines(actual) == _lines(expected)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


_PASSED = TestResult(passed=True, status="passed")


@lru_cache(maxsize=256)
def _failed(status: str, detail: str) -> TestResult:
    """A failed test; they are frozen and few kinds of them differ."""
    return TestResult.model_validate({"passed": False, "status": status, "detail": detail})


def _call_result(assertion: Assertion, call: CallResult) -> TestResult:
    if call.status != CallStatus.OK:
        return _failed(call.status.value, call.detail)
    return _PASSED if assertion.accepts(call.value) else _failed("wrong_answer", "returned another value")


def _test_result(call: CallResult) -> TestResult:
    if call.status == CallStatus.OK:
        return _PASSED
    if call.status == CallStatus.EXCEPTION and call.detail == "AssertionError":
        return _failed("wrong_answer", "an assertion failed")
    return _failed(call.status.value, call.detail)


def _run_result(test: StdinTest, run: Execution) -> TestResult:
    if run.status != CallStatus.OK:
        return _failed(run.status.value, run.detail)
    return _PASSED if same_output(run.stdout, test.stdout) else _failed("wrong_answer", "printed something else")


def _hopeless(executions: list[Execution]) -> Execution | None:
    """The end of all further runs, when what was seen decides it."""
    if executions and executions[0].status == CallStatus.SYNTAX_ERROR:
        return executions[0]
    if sum(run.status == CallStatus.TIMEOUT for run in executions) >= MAX_TIMEOUTS:
        return Execution(status=CallStatus.TIMEOUT, detail=f"not run after {MAX_TIMEOUTS} timeouts")
    return None


def _verdict(code: str, results: list[TestResult], shown: Execution, duration_ms: float) -> Verdict:
    passed = sum(result.passed for result in results)
    return Verdict(
        outcome=Outcome.SCORED,
        reward=reward_of(passed, len(results), len(code)),
        done=passed == len(results),
        passed_tests=passed,
        total_tests=len(results),
        tests=results,
        stdout=_shown(shown.stdout),
        stderr=_shown(shown.stderr),
        exit_code=shown.exit_code,
        duration_ms=duration_ms,
    )


def _shown(text: str) -> str:
    return text.encode("utf-8", "replace")[:MAX_SHOWN_BYTES].decode("utf-8", "ignore")


def _infrastructure_failure(total: int, failure: SandboxFailure) -> Verdict:
    return Verdict(
        outcome=Outcome.INFRASTRUCTURE_FAILURE, reward=0.0, done=False, passed_tests=0, total_tests=total, tests=[],
        stdout="", stderr=f"sandbox failure: {failure.detail}"[:MAX_SHOWN_BYTES], exit_code=0, duration_ms=0.0,
    )  # fmt: skip
