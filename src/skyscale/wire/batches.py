"""Trajectories on their way from the worker to the trainer: push, lease, ack.

Token ids are the record, text is a view. Every sampled token carries the engine's logprob and the policy version
that sampled it. Ids are made by the worker, so a push may be repeated without harm.
"""

from typing import Annotated

from pydantic import Field, model_validator

from skyscale.wire.base import Reply, Request
from skyscale.wire.environments import MAX_TURNS
from skyscale.wire.episodes import MAX_CODE_CHARS, Outcome
from skyscale.wire.turns import TurnRecord

MAX_TOKENS = 131072
Tokens = Annotated[list[int], Field(max_length=MAX_TOKENS)]


class Trajectory(Request):
    """One finished episode of a group."""

    episode_id: Annotated[str, Field(min_length=4, max_length=80)]
    code: Annotated[str, Field(max_length=MAX_CODE_CHARS)]
    text: str = ""
    """The completion as the model wrote it."""
    completion_ids: Tokens
    """Sampled token ids, with the end-of-sequence token if it was sampled; with `turns` also what lies between."""
    logprobs: Annotated[list[float], Field(max_length=MAX_TOKENS)]
    """The engine's log-probability of each sampled token, natural log, at the sampling temperature."""
    versions: Annotated[list[int], Field(max_length=MAX_TOKENS)]
    """The policy version that sampled each token. What nobody sampled has logprob 0 and a neighbour's version."""
    reward: Annotated[float, Field(ge=0, le=1)]
    outcome: Outcome
    passed_tests: int = 0
    total_tests: int = 0
    turns: Annotated[list[TurnRecord], Field(max_length=MAX_TURNS)] = []
    """For episodes that are played by turns: which tokens the model sampled. Empty: all of them, in one turn."""

    @property
    def loss_mask(self) -> list[bool] | None:
        """Which of `completion_ids` the model sampled, and is trained on; None stands for all."""
        if not self.turns:
            return None
        mask = [False] * len(self.completion_ids)
        for turn in self.turns:
            mask[turn.start : turn.end] = [True] * (turn.end - turn.start)
        return mask

    @property
    def num_sampled(self) -> int:
        """How many of `completion_ids` the model sampled."""
        return sum(turn.end - turn.start for turn in self.turns) if self.turns else len(self.completion_ids)

    @model_validator(mode="after")
    def _turns_are_in_order_and_reach_the_end(self) -> "Trajectory":
        position = 0
        for index, turn in enumerate(self.turns):
            if turn.start < position or turn.end < turn.start or (index == 0 and turn.start != 0):
                raise ValueError(f"turns.{index}: turns begin at 0, follow one another and do not overlap")
            position = turn.end
        if self.turns and position != len(self.completion_ids):
            raise ValueError("turns: the last one ends where completion_ids end")
        return self

    @model_validator(mode="after")
    def _one_logprob_and_version_per_token(self) -> "Trajectory":
        if not len(self.completion_ids) == len(self.logprobs) == len(self.versions):
            raise ValueError("completion_ids, logprobs and versions must have one entry per sampled token")
        return self


class GroupPush(Request):
    """The body of `POST /api/rl/buffer/push` for a whole group."""

    run_id: str
    group_id: Annotated[str, Field(min_length=4, max_length=80)]
    problem_id: str
    prompt_ids: Tokens
    """The prompt's token ids, shared by all trajectories of the group."""
    trajectories: Annotated[list[Trajectory], Field(min_length=1, max_length=256)]


class TrajectoryPush(Request):
    """The body of `POST /api/rl/buffer/push` for one trajectory without tokens: kept and sampled, never trained on."""

    run_id: str
    problem_id: str
    prompt: str
    code: Annotated[str, Field(max_length=MAX_CODE_CHARS)]
    reward: Annotated[float, Field(ge=0, le=1)]
    done: bool = True
    step_n: Annotated[int, Field(ge=0, lt=2**31)] = 0
    trajectory_id: Annotated[str, Field(min_length=4, max_length=80)] | None = None
    """Client-made; the same id again is a duplicate and is not stored twice."""


class GroupBatchPush(Request):
    """The body of `POST /api/rl/buffer/push` for several groups at once."""

    groups: Annotated[list[GroupPush], Field(min_length=1, max_length=64)]


class PlayedEpisode(Request):
    """One episode of a group as the worker saw it: what was sampled, before anybody judged it."""

    code: Annotated[str, Field(max_length=MAX_CODE_CHARS)]
    text: str = ""
    """The completion as the model wrote it."""
    completion_ids: Tokens
    logprobs: Annotated[list[float], Field(max_length=MAX_TOKENS)]
    versions: Annotated[list[int], Field(max_length=MAX_TOKENS)]
    is_truncated: bool = False
    """The completion ended because the token limit was reached."""

    @model_validator(mode="after")
    def _one_logprob_and_version_per_token(self) -> "PlayedEpisode":
        if not len(self.completion_ids) == len(self.logprobs) == len(self.versions):
            raise ValueError("completion_ids, logprobs and versions must have one entry per sampled token")
        return self


class GroupFinish(Request):
    """The body of `POST /api/rl/env/groups/{group_id}/finish`: judge these episodes and keep them."""

    prompt_ids: Tokens
    """The prompt's token ids, shared by all episodes of the group."""
    episodes: Annotated[list[PlayedEpisode], Field(min_length=1, max_length=256)]


class GroupFinished(Reply):
    """What became of a finished group. It is durable on disk when this reply is sent."""

    rewards: list[float]
    """In the order of the episodes."""
    outcomes: list[Outcome]
    accepted: int
    """Trajectories stored by this call; an infrastructure failure is counted and left out."""
    duplicates: int
    """Trajectories that were already stored."""


class PushReply(Reply):
    """What became of a push. It is durable on disk when this reply is sent."""

    accepted: int
    """Trajectories stored by this call."""
    duplicates: int
    """Trajectories that were already stored."""


class SampleRequest(Request):
    """The body of `POST /api/rl/buffer/sample`."""

    run_id: str
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 32
    """Without a lease: at most so many trajectories, oldest first, consumed at once."""
    num_groups: Annotated[int, Field(ge=1, le=4096)] | None = None
    """With a lease: exactly so many trainable groups, or none."""
    lease_s: Annotated[float, Field(gt=0, le=86400)] | None = None
    """Take the groups on a lease of this length: they return if it expires without an ack."""
    trainer_id: str = ""
    wait_s: Annotated[float, Field(ge=0, le=30)] = 0.0
    """How long the server may hold the call until enough groups are there."""


class LeasedGroup(Reply):
    """A group as the trainer receives it."""

    group_id: str
    problem_id: str
    prompt_ids: list[int]
    trajectories: list[Trajectory]


class RolloutWindow(Reply):
    """All training rollouts pushed since the lease before this one, those without a signal included."""

    groups: int
    flat_groups: int
    """Groups of equal reward, which are never leased."""
    trajectories: int
    mean_reward: float | None
    """Null when nothing was pushed."""


class SampleReply(Reply):
    """A batch: trajectories without a lease, or groups with one."""

    trajectories: list[dict[str, object]]
    count: int
    """Trajectories in this reply, in groups or alone."""
    lease_id: str | None
    groups: list[LeasedGroup]
    rollouts: RolloutWindow | None = None
    """With a lease: what the policy earned lately; the batch alone is biased, since flat groups are not in it."""


class LeaseRequest(Request):
    """The body of `POST /api/rl/buffer/ack`, `/release` and `/extend`."""

    run_id: str
    lease_id: str
    lease_s: Annotated[float, Field(gt=0, le=86400)] = 60.0
    """`extend`: the lease's new length from now."""


class BufferStats(Reply):
    """`GET /api/rl/buffer/stats?run_id=`: trajectories by what became of them."""

    run_id: str
    size: int
    """Waiting to be trained on."""
    leased: int
    consumed: int
    flat: int
    """In groups of equal reward: nothing to learn, skipped and refilled."""
    stale: int
    """Refused at lease time for being older than `max_staleness`."""
    failed: int
    """Dropped for infrastructure failures."""
    groups_in_play: int
    """Groups on tickets that have not been pushed yet."""
    slots: int
    """Groups that may be in play, waiting or leased at once."""
    pushed: int
    """Trajectories ever pushed."""
