"""The rules of curricula: estimates, pools, and which problem is drawn."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from skyscale.episodes import rules
from skyscale.episodes.curriculum import Pools
from skyscale.episodes.queries import PlayedGroup
from skyscale.episodes.rules import Pool
from skyscale.wire.runs import Curriculum

IDS = tuple(f"p{n}" for n in range(20))
REWARDS = st.lists(st.floats(0, 1), min_size=1, max_size=8)
DECAYS = st.floats(0.01, 1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def played(sequence: int, problem_id: str, reward: float) -> PlayedGroup:
    return PlayedGroup(sequence, problem_id, reward, START + timedelta(seconds=sequence))


def test_an_estimate_weighs_older_groups_less() -> None:
    assert rules.estimate([1.0, 0.0], 0.5) == pytest.approx(1 / 1.5)
    assert rules.estimate([0.0, 1.0, 1.0], 1.0) == pytest.approx(2 / 3)


@given(REWARDS, DECAYS)
def test_an_estimate_lies_between_the_rewards_that_it_is_made_of(rewards: list[float], decay: float) -> None:
    level = rules.estimate(rewards, decay)
    assert min(rewards) - 1e-9 <= level <= max(rewards) + 1e-9


@given(REWARDS, st.integers(1, 8))
def test_a_problem_is_retired_only_after_enough_groups_and_beyond_a_bound(rewards: list[float], after: int) -> None:
    curriculum = Curriculum(after_groups=after, solved_above=0.8, hopeless_below=0.2)
    pool, level = rules.pool_of(rewards, curriculum), rules.estimate(rewards, curriculum.decay)
    assert (pool is Pool.UNPLAYED) == (len(rewards) < after)
    if pool is not Pool.UNPLAYED:
        assert (pool is Pool.SOLVED, pool is Pool.HOPELESS) == (level > 0.8, level < 0.2)


@given(st.integers(0, 2**31 - 1), st.integers(0, 10_000), st.sets(st.sampled_from(IDS)), st.floats(0.01, 1))
def test_a_draw_is_determined_by_seed_sequence_and_pools(seed: int, sequence: int, retired: set[str], r: float) -> None:
    drawn = rules.draw_from_pools(IDS, seed, sequence, retired.__contains__, r)
    assert drawn in IDS
    assert drawn == rules.draw_from_pools(IDS, seed, sequence, retired.__contains__, r)
    if not retired:
        assert drawn == rules.draw(IDS, seed, sequence)


@given(st.integers(0, 2**31 - 1))
def test_retired_problems_are_drawn_as_often_as_recheck_says(seed: int) -> None:
    retired = set(IDS[:10])
    drawn = Counter(rules.draw_from_pools(IDS, seed, n, retired.__contains__, 0.1) for n in range(2000))
    share = sum(drawn[each] for each in retired) / 2000
    assert 0.06 < share < 0.14  # 10 problems of weight 0.1 beside 10 of weight 1
    assert all(drawn[each] for each in IDS)


def test_when_everything_is_retired_everything_is_still_played() -> None:
    drawn = Counter(rules.draw_from_pools(IDS, 7, n, lambda _: True, 0.01) for n in range(400))
    assert set(drawn) == set(IDS)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(IDS), st.floats(0, 1)), max_size=80))
def test_pools_depend_on_what_was_pushed_and_not_on_when_it_was_learned(history: list[tuple[str, float]]) -> None:
    groups = [played(n, *each) for n, each in enumerate(history)]
    at_once, piecemeal = Pools(Curriculum()), Pools(Curriculum())
    at_once.learn(groups)
    for group in groups:
        piecemeal.learn([group])
        piecemeal.learn([group])
    assert at_once.counts(len(IDS)) == piecemeal.counts(len(IDS))
    assert sum(at_once.counts(len(IDS)).model_dump().values()) == len(IDS)
    assert [at_once.draw(IDS, 1, n) for n in range(50)] == [piecemeal.draw(IDS, 1, n) for n in range(50)]


def test_a_solved_problem_comes_back_when_its_reward_falls() -> None:
    pools = Pools(Curriculum())
    pools.learn([played(n, "p0", 1.0) for n in range(4)])
    assert pools.counts(20).solved == 1
    pools.learn([played(9, "p0", 0.2)])
    assert pools.counts(20).model_dump() == {"unplayed": 19, "learning": 1, "solved": 0, "hopeless": 0}


def test_bounds_that_cross_are_refused() -> None:
    with pytest.raises(ValidationError, match="must be less than"):
        Curriculum(solved_above=0.3, hopeless_below=0.5)
