"""pass@k and its confidence, against numbers worked out by hand."""

from itertools import combinations
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyscale.episodes import scoring
from skyscale.episodes.scoring import Tally
from skyscale.runs import rules
from skyscale.wire.base import utc_now
from skyscale.wire.problems import Difficulty
from skyscale.wire.runs import EvaluationResult, PassAtK


def tally(num_samples: int, num_passed: int, difficulty: Difficulty = Difficulty.EASY) -> Tally:
    return Tally(num_samples, num_passed, float(num_passed), difficulty)


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [(4, 1, 1, 1 / 4), (4, 1, 2, 1 / 2), (4, 2, 2, 5 / 6), (5, 2, 3, 9 / 10), (4, 0, 4, 0.0), (4, 1, 4, 1.0)],
)
def test_pass_at_k_by_hand(n: int, c: int, k: int, expected: float) -> None:
    assert isclose(scoring.pass_at_k(n, c, k), expected)


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_draws_that_hold_a_pass(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    draws = list(combinations(range(n), k))
    assert isclose(scoring.pass_at_k(n, c, k), sum(min(draw) < c for draw in draws) / len(draws))


def test_one_sample_per_problem_gives_the_plain_wilson_interval() -> None:
    (result,) = scoring.pass_at([tally(1, 1)] * 5 + [tally(1, 0)] * 5, [1])
    assert (result.k, result.value, result.num_problems) == (1, 0.5, 10)
    # Wilson 1927 for 5 of 10, as any statistics package prints it: [0.2366, 0.7634].
    assert (round(result.low, 4), round(result.high, 4)) == (0.2366, 0.7634)


def test_samples_of_one_problem_count_as_what_they_add() -> None:
    alike = scoring.pass_at([tally(4, 4)] * 5 + [tally(4, 0)] * 5, [1, 2, 4])[0]
    plain = scoring.pass_at([tally(1, 1)] * 5 + [tally(1, 0)] * 5, [1])[0]
    assert (alike.low, alike.high) == (plain.low, plain.high), "forty samples that say ten things are ten samples"
    # Passes 1, 2, 3 of 4: mean 1/2, variance (1/16 + 0 + 1/16) / 3 = 1/24, n_eff = (1/4) * 3 * 24 = 18, at most 12.
    assert scoring.effective_trials([0.25, 0.5, 0.75], 12) == 12
    assert isclose(scoring.effective_trials([0.25, 0.5, 0.75], 40), 18)


def test_all_and_none_have_intervals_that_are_not_empty() -> None:
    none, every = (
        scoring.pass_at([tally(4, 0)] * 10, [1])[0],
        scoring.pass_at([tally(4, 4)] * 10, [1])[0],
    )
    assert (none.low, round(none.high, 4)) == (0.0, 0.2775)  # 0 of 10: z^2 / (n + z^2)
    assert (round(every.low, 4), round(every.high, 9)) == (0.7225, 1.0)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_the_interval_holds_the_estimate_and_more_samples_pass_more(passed: list[int]) -> None:
    results = scoring.pass_at([tally(4, c) for c in passed], scoring.ks_of(4))
    assert [each.k for each in results] == [1, 2, 4]
    assert all(0 <= each.low <= each.value + 1e-12 and each.value - 1e-12 <= each.high <= 1 for each in results)
    assert [each.value for each in results] == sorted(each.value for each in results)


def test_a_problem_with_too_few_judged_samples_is_left_out_of_that_k() -> None:
    results = scoring.pass_at([tally(4, 2), tally(1, 1), tally(0, 0)], [1, 2, 4])
    assert [(each.k, each.num_problems) for each in results] == [(1, 2), (2, 1), (4, 1)]
    assert scoring.pass_at([], scoring.ks_of(4)) == [] == scoring.pass_at([tally(0, 0)], [1, 2, 4])


def test_the_reported_k_are_powers_of_two_or_what_was_asked_for() -> None:
    assert (scoring.ks_of(1), scoring.ks_of(4), scoring.ks_of(10)) == ([1], [1, 2, 4], [1, 2, 4, 8, 10])
    assert scoring.ks_of(10, [5, 3]) == [1, 3, 5]


def test_difficulties_are_told_apart_from_easy_to_hard() -> None:
    tallies = [tally(2, 0, Difficulty.HARD), tally(2, 2), tally(2, 1), Tally(2, 1, 1.0, None)]
    easy, hard = scoring.by_difficulty(tallies, scoring.ks_of(2))
    assert (easy.difficulty, easy.num_problems, easy.num_episodes, easy.reward) == ("easy", 2, 4, 0.75)
    assert [each.value for each in easy.pass_at] == [0.75, 1.0] and hard.pass_at[0].value == 0.0


def result(version: int, passed: float, reward: float) -> EvaluationResult:
    pass_at = [PassAtK(k=1, value=passed, low=0.0, high=1.0, num_problems=4)]
    return EvaluationResult(
        version=version, reward=reward, num_problems=4, num_episodes=4, finished_at=utc_now(), pass_at=pass_at
    )


def test_the_best_version_passes_most_then_earns_most_then_is_newest() -> None:
    assert rules.best_version([]) is None
    assert rules.best_version([result(0, 0.2, 0.9), result(3, 0.5, 0.6), result(6, 0.4, 0.9)]) == 3
    assert rules.best_version([result(3, 0.5, 0.7), result(6, 0.5, 0.6)]) == 3
    assert rules.best_version([result(3, 0.5, 0.6), result(6, 0.5, 0.6)]) == 6
    assert rules.versions_in_use(newest=9, serving=8, pinned=None, evaluating=6, best=3) == [3, 6, 8, 9]
    assert rules.versions_in_use(newest=0, serving=0, pinned=None, evaluating=0, best=0) == []
