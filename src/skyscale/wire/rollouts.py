"""Rollouts as people read them: what the model was asked, what it wrote, what the judge said, token by token.

`null` means not recorded or no longer kept; 0 and empty mean what they say.
"""

from datetime import datetime

from skyscale.wire.base import Reply
from skyscale.wire.episodes import Purpose, TestResult
from skyscale.wire.problems import PublicProblem


class RolloutRow(Reply):
    """One group in a list: what is known without opening its content."""

    group_id: str
    problem_id: str
    purpose: Purpose
    state: str
    """What became of it: `waiting`, `leased`, `acked`, `consumed`, `flat`, `stale`, `failed`, `evaluated`."""
    sequence: int
    """Its place in the run's order of train groups, or in its evaluation."""
    version: int
    """Train: the newest version when it was admitted. Eval: the version that was evaluated."""
    min_version: int | None
    """The version of its oldest sampled token."""
    pushed_at: datetime
    num_completions: int
    num_dropped: int
    """Episodes that our infrastructure broke: neither kept nor trained on."""
    num_truncated: int | None
    num_passed: int | None
    """Completions that passed every test."""
    reward_mean: float | None
    reward_min: float | None
    reward_max: float | None
    has_content: bool
    """Whether its completions are still kept (`SKYSCALE_ROLLOUTS_KEEP`)."""


class RolloutPage(Reply):
    """Groups of a run, newest first."""

    rollouts: list[RolloutRow]
    next_cursor: str | None
    """Pass as `cursor` to go on; null at the end. A page of a text search may be short or empty and still go on."""


class RolloutTokens(Reply):
    """The sampled tokens of a completion; all lists have one entry per token."""

    ids: list[int]
    strings: list[str] | None
    """What each token stands for; null when the model's `tokenizer.json` is not at hand."""
    logprobs: list[float]
    """Natural log, by the engine that sampled, at the sampling temperature."""
    versions: list[int]
    """The policy version that sampled each token."""


class RolloutCompletion(Reply):
    """One episode of a group."""

    episode_id: str
    text: str
    code: str
    """The program that was taken from the text and judged."""
    outcome: str
    reward: float
    reward_parts: dict[str, float]
    """What the reward is the sum of, before it is clamped to [0, 1]."""
    passed_tests: int
    total_tests: int
    tests: list[TestResult] | None
    stdout: str | None
    stderr: str | None
    exit_code: int | None
    duration_ms: float | None
    turns: list[dict[str, object]]
    """The episode's turns as they were recorded; empty for an episode of one turn."""
    num_tokens: int
    min_version: int | None
    max_version: int | None
    tokens: RolloutTokens | None
    """Null when the reader asked for none."""


class RolloutDetail(Reply):
    """A group with everything that is kept of it."""

    run_id: str
    rollout: RolloutRow
    problem: PublicProblem | None
    """Null when the problem set no longer has it."""
    messages: list[dict[str, str]]
    """The chat that the model was shown."""
    prompt_ids: list[int] | None
    prompt_strings: list[str] | None
    completions: list[RolloutCompletion] | None
    """Null when the content was swept."""
