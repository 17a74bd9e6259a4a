"""The pure rules of episodes: the order of problems, seeds, what may be remembered."""

from collections import Counter

from skyscale.episodes import rules
from skyscale.wire import episodes as wire
from skyscale.wire.episodes import Outcome, Verdict
from skyscale.wire.problems import Problem

IDS = tuple(f"p{i}" for i in range(7))


def test_every_epoch_draws_each_problem_once_in_another_order() -> None:
    epochs = [[rules.draw(IDS, 5, epoch * 7 + i) for i in range(7)] for epoch in range(3)]
    assert all(sorted(epoch) == sorted(IDS) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert epochs[0] != [rules.draw(IDS, 6, i) for i in range(7)]


def test_group_seeds_are_small_distinct_and_reproducible() -> None:
    seeds = [rules.group_seed(1, "train", i) for i in range(500)]
    assert len(set(seeds)) == 500
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert rules.group_seed(1, "train", 3) == seeds[3] != rules.group_seed(1, "eval", 3)


def problem(number: int, family: str) -> Problem:
    return Problem.model_validate(
        {"id": f"p{number}", "family": family, "prompt": "", "difficulty": "easy", "split": "heldout", "style": "stdin"}
    )


def test_a_small_evaluation_takes_one_problem_of_each_family_in_turn() -> None:
    problems = [problem(i, family) for i, family in enumerate("aaaaabbc")]
    assert Counter(p.family for p in rules.heldout_sample(problems, 1, 3)) == {"a": 1, "b": 1, "c": 1}
    assert Counter(p.family for p in rules.heldout_sample(problems, 1, 5)) == {"a": 2, "b": 2, "c": 1}
    assert len(rules.heldout_sample(problems, 1, 100)) == 8
    assert rules.heldout_sample(reversed(problems), 1, 5) == rules.heldout_sample(problems, 1, 5)


def verdict(outcome: Outcome, status: str) -> Verdict:
    test = wire.TestResult.model_validate({"passed": False, "status": status})
    return Verdict(
        outcome=outcome, reward=0, done=True, passed_tests=0, total_tests=1, tests=[test], stdout="", stderr="",
        exit_code=0, duration_ms=1,
    )  # fmt: skip


def test_only_verdicts_that_would_repeat_are_remembered() -> None:
    assert rules.may_remember(verdict(Outcome.SCORED, "wrong_answer"))
    assert not rules.may_remember(verdict(Outcome.SCORED, "timeout"))
    assert not rules.may_remember(verdict(Outcome.INFRASTRUCTURE_FAILURE, "wrong_answer"))


def test_a_remembered_verdict_is_of_this_program_for_this_whole_problem() -> None:
    mine, other = problem(1, "a"), problem(1, "b")
    codes = ["x", "", "\ud800"]
    keys = rules.verdict_keys(mine, codes)
    assert list(keys) == codes
    assert len({*keys.values(), *rules.verdict_keys(other, codes).values()}) == 6
    assert rules.verdict_keys(mine, ["x"])["x"] == keys["x"]
