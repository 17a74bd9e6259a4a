"""Answers judged by comparison."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyscale.envs.answers import is_right
from skyscale.wire.problems import Difficulty, Problem, Split


def asked(answer: str, kind: str = "number") -> Problem:
    return Problem.model_validate(
        {"id": "q", "family": "q", "prompt": "?", "difficulty": Difficulty.EASY, "split": Split.TRAIN,
         "style": "answer", "answer": answer, "answer_kind": kind}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("18", "She has 3 + 15 = 18 eggs.\n#### 18"), ("18", "18"), ("18", "so it is 18.0"),
        ("18", "The answer is $18."),
        ("1000", "that makes 1,000 dollars"), ("1,000", "1000"), ("0.5", "1/2"), ("-3", "x = -3"), ("42", "#### 42\n"),
        ("42", "\\boxed{42} is it, as 7 of us know"), ("42", "<think>no, 41</think> answer: 42"),
        ("3.14", "3.140"), ("1e3", "1000"), ("5", "The final answer is: 5"), ("20", "20%"),
    ],
)  # fmt: skip
def test_right_numbers_are_found_however_they_are_written(answer: str, text: str) -> None:
    assert is_right(asked(answer), text)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("18", ""), ("18", "eighteen"), ("18", "#### 18 eggs, no, #### 17"), ("18", "181"), ("18", "1.8"),
        ("18", "18, then 19"), ("0.333", "1/3"), ("1", "1/0"), ("18", "9" * 10_000), ("1", "1e999"),
        ("18", "<think>18</think>"),
    ],
)  # fmt: skip
def test_other_numbers_are_wrong(answer: str, text: str) -> None:
    assert not is_right(asked(answer), text)


def test_texts_are_compared_without_case_space_and_quotes() -> None:
    assert is_right(asked("Paris", "text"), "I think it is this:\n  **so** \nAnswer: 'paris'.")
    assert is_right(asked("New York", "text"), "\\boxed{new   york}")
    assert is_right(asked("yes", "text"), "Some reasoning.\n\nYes\n\n")
    assert not is_right(asked("Paris", "text"), "Paris or London")
    assert not is_right(asked("Paris", "text"), "")


@given(st.text(max_size=300))
def test_any_text_has_a_verdict(text: str) -> None:
    assert is_right(asked("7"), text) in (True, False)
    assert is_right(asked("x", "text"), text) in (True, False)


@pytest.mark.parametrize("piece", ["1,", ",123", "answer is ", "\\boxed{", "1/", "1e1", "-", "####", "1."])
def test_hostile_texts_take_linear_time(piece: str) -> None:
    text = piece * (65_536 // len(piece))
    started = time.process_time()
    is_right(asked("7"), text)
    is_right(asked("x", "text"), text)
    assert time.process_time() - started < 2
