"""The pure parts of the judge."""

import pytest

from skyscale.envs.judge import parse_tests, reward_of, same_output
from skyscale.wire.problems import Difficulty, Problem, Split


@pytest.mark.parametrize(
    ("passed", "total", "chars", "reward"),
    [(3, 3, 500, 1.0), (1, 4, 10, 0.25), (3, 3, 1500, 0.9), (3, 3, 10_500, 0.0), (3, 3, 60_000, 0.0), (0, 0, 0, 0.0)],
)
def test_the_reward_is_the_pass_rate_less_the_length_penalty(
    passed: int, total: int, chars: int, reward: float
) -> None:
    assert reward_of(passed, total, chars) == pytest.approx(reward)


def test_white_space_at_the_ends_does_not_matter() -> None:
    assert same_output("a  \nb\n\n", "a\nb")
    assert not same_output("a\n\nb", "a\nb")
    assert not same_output(" a", "a")


def test_a_line_about_another_function_is_a_defect_of_the_problem() -> None:
    problem = Problem(
        id="p", family="p", prompt="p", difficulty=Difficulty.EASY, split=Split.TRAIN, style="calls", entry_point="f",
        test_cases=["assert g(1) == 1"],
    )  # fmt: skip
    with pytest.raises(ValueError, match="tests f, but"):
        parse_tests(problem)
