"""What a model is told of a program that failed, so that it can try again. Pure.

Only what was seen on the problem's public examples is told: the verdict that is read here comes from a run against
those alone, because a program may print its inputs, and those of the hidden tests must never reach the model.
"""

from skyscale.envs.environment import clipped
from skyscale.envs.registry import public
from skyscale.wire.episodes import Verdict
from skyscale.wire.problems import Problem

MAX_ERROR_LINES = 4
HIDDEN_FAIL = "The examples pass, but other tests fail."
FAILS = "The tests fail."
WRONG = "Wrong."
AGAIN = "Write the whole program again."
_MEANING = {
    "wrong_answer": "gave another result",
    "exception": "raised an exception",
    "timeout": "took too long",
    "memory": "used too much memory",
    "no_entry_point": "did not find the function",
    "syntax_error": "is not valid Python",
    "output_limit": "printed too much",
}


def examples_of(problem: Problem) -> Problem | None:
    """The problem with its public examples as its only tests, or None if it has none."""
    if problem.num_examples == 0 or problem.style not in ("calls", "stdin"):
        return None
    return problem.model_copy(
        update={
            "test_cases": problem.test_cases[: problem.num_examples],
            "stdin_tests": problem.stdin_tests[: problem.num_examples],
        }
    )


def feedback_of(problem: Problem, on_examples: Verdict | None, *, max_chars: int, repeat_prompt: bool) -> str:
    """The next user message; `on_examples` is the verdict of the program on the examples alone."""
    lines = [FAILS] if on_examples is None else _lines(problem, on_examples)
    closing = problem.prompt if repeat_prompt else AGAIN
    return f"{clipped(chr(10).join(lines), max(64, max_chars - len(closing)))}\n{closing}"


def brief_feedback(problem: Problem, *, repeat_prompt: bool) -> str:
    """The next user message, in as few words as there can be."""
    return f"{WRONG} {problem.prompt if repeat_prompt else AGAIN}"


def _lines(problem: Problem, verdict: Verdict) -> list[str]:
    failed = next((index for index, test in enumerate(verdict.tests) if not test.passed), None)
    if failed is None:
        return [HIDDEN_FAIL]
    test = verdict.tests[failed]
    example = public(problem).test_cases[failed]
    lines = [f"This fails: {example}", f"Your program {_MEANING.get(test.status, test.status)}."]
    if test.status in ("exception", "syntax_error"):
        lines += verdict.stderr.strip().splitlines()[-MAX_ERROR_LINES:] or [test.detail]
    if problem.style == "stdin" and test.status == "wrong_answer":
        lines.append(f"It printed: {clipped(verdict.stdout.strip(), 500)}")
    return lines
