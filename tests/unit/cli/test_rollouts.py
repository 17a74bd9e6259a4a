"""A group on the screen."""

from rich.console import Console

from skyscale.cli.live.rollout import render
from skyscale.wire.base import utc_now
from skyscale.wire.episodes import Purpose
from skyscale.wire.episodes import TestResult as Result
from skyscale.wire.rollouts import RolloutCompletion, RolloutDetail, RolloutRow, RolloutTokens

ROW = RolloutRow(
    group_id="grp-1", problem_id="add", purpose=Purpose.TRAIN, state="consumed", sequence=1, version=3, min_version=2,
    pushed_at=utc_now(), num_completions=2, num_dropped=1, num_truncated=0, num_passed=1, reward_mean=0.5,
    reward_min=0.0, reward_max=1.0, has_content=True,
)  # fmt: skip


def completion(reward: float, tests: list[Result] | None) -> RolloutCompletion:
    return RolloutCompletion(
        episode_id="e", text=f"[bold]x = {reward}[/bold]", code="x", outcome="scored", reward=reward,
        reward_parts={"tests": reward}, passed_tests=int(reward * 3), total_tests=3, tests=tests, stdout=None,
        stderr="Traceback\nNameError: x" if tests else None, exit_code=None, duration_ms=None, turns=[], num_tokens=2,
        min_version=2, max_version=3, tokens=RolloutTokens(ids=[1, 2], strings=["x", " ="], logprobs=[-0.01, -3.0],
        versions=[2, 3]) if tests else None,
    )  # fmt: skip


def shown(detail: RolloutDetail) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        for part in render(detail, 120):
            console.print(part)
    return capture.get()


def test_completions_stand_side_by_side_with_what_went_wrong() -> None:
    bad = Result(passed=False, status="exception", detail="NameError")
    pair = [completion(1.0, None), completion(0.0, [bad, bad, Result(passed=False, status="timeout")])]
    detail = RolloutDetail(
        run_id="rl-1", rollout=ROW, problem=None, messages=[{"role": "user", "content": "Add [1]"}], prompt_ids=None,
        prompt_strings=None, completions=pair,
    )  # fmt: skip
    text = shown(detail)
    assert "Add [1]" in text and "[bold]x = 1.0[/bold]" in text, "what a model writes is never markup"
    assert any("reward 1.000" in line and "reward 0.000" in line for line in text.splitlines())
    assert "tests 1-2: exception, NameError" in text and "test 3: timeout" in text and "NameError: x" in text
    assert "3/3 tests passed (details not recorded)" in text and "1 lost to infrastructure" in text
    assert "' =' -3.00 (v3)" in text


def test_a_swept_group_says_so() -> None:
    detail = RolloutDetail(
        run_id="rl-1", rollout=ROW, problem=None, messages=[], prompt_ids=None, prompt_strings=None, completions=None
    )
    assert "no longer kept" in shown(detail)
