"""What a model is told of a failed program: its public examples, and nothing of the hidden tests."""

import pytest

from skyscale.envs.feedback import AGAIN, HIDDEN_FAIL, brief_feedback, examples_of, feedback_of
from skyscale.wire import episodes
from skyscale.wire.episodes import Outcome, Verdict
from skyscale.wire.problems import Difficulty, Problem, Split, StdinTest

CALLS = Problem(
    id="p", family="f", prompt="Write f.", difficulty=Difficulty.EASY, split=Split.TRAIN, style="calls",
    entry_point="f", test_cases=["assert f(1) == 2", "assert f(77) == 78"],
)  # fmt: skip
STDIN = CALLS.model_copy(
    update={"style": "stdin", "entry_point": None, "test_cases": [],
            "stdin_tests": [StdinTest(stdin="1", stdout="2"), StdinTest(stdin="77", stdout="78")]}
)  # fmt: skip


def verdict(status: str, *, stdout: str = "", stderr: str = "") -> Verdict:
    test = episodes.TestResult(passed=status == "passed", status=status, detail="NameError")  # type: ignore[arg-type]
    return Verdict(
        outcome=Outcome.SCORED, reward=0, done=False, passed_tests=0, total_tests=1, tests=[test], stdout=stdout,
        stderr=stderr, exit_code=0, duration_ms=1,
    )  # fmt: skip


def told(problem: Problem, seen: Verdict | None, *, max_chars: int = 2000, repeat_prompt: bool = False) -> str:
    return feedback_of(problem, seen, max_chars=max_chars, repeat_prompt=repeat_prompt)


def test_only_the_examples_are_run_for_feedback():
    examples = examples_of(CALLS)
    assert examples is not None and examples.test_cases == CALLS.test_cases[:1]
    stdin = examples_of(STDIN)
    assert stdin is not None and stdin.stdin_tests == STDIN.stdin_tests[:1]
    assert examples_of(CALLS.model_copy(update={"num_examples": 0})) is None
    assert examples_of(CALLS.model_copy(update={"style": "asserts", "test_code": "assert f(1)"})) is None


@pytest.mark.parametrize("problem", [CALLS, STDIN], ids=["calls", "stdin"])
@pytest.mark.parametrize("seen", [None, verdict("passed"), verdict("wrong_answer", stdout="3"), verdict("timeout")])
def test_hidden_tests_are_never_told(problem: Problem, seen: Verdict | None):
    text = told(problem, seen)
    assert "77" not in text and "78" not in text
    assert text.endswith(AGAIN)


def test_the_failing_example_the_kind_of_failure_and_the_error_are_told():
    text = told(CALLS, verdict("exception", stderr="a\nb\nTraceback\n  line 2\n    return x\nNameError: name 'x'"))
    assert text.splitlines() == [
        "This fails: assert f(1) == 2", "Your program raised an exception.", "Traceback", "  line 2", "    return x",
        "NameError: name 'x'", AGAIN,
    ]  # fmt: skip
    assert "It printed: 3" in told(STDIN, verdict("wrong_answer", stdout="3\n"))
    assert told(CALLS, verdict("passed")).startswith(HIDDEN_FAIL)


def test_feedback_is_bounded_and_ends_with_what_is_asked():
    text = told(CALLS, verdict("exception", stderr="x" * 100_000), max_chars=300, repeat_prompt=True)
    assert len(text) <= 301 and text.endswith(CALLS.prompt)
    assert brief_feedback(CALLS, repeat_prompt=True) == "Wrong. Write f."
