"""Episodes of several turns: what the worker sends after each turn, what the environment answers, what is kept.

Token ids are the record. A trajectory's `completion_ids` run from the end of the group's shared prompt to the model's
last token; `TurnRecord.start` and `end` say which of them the model sampled. All others were written by the environment
and are never trained on.
"""

from typing import Annotated

from pydantic import Field

from skyscale.wire.base import Reply, Request
from skyscale.wire.episodes import MAX_CODE_CHARS, Outcome

MAX_ACTION_CHARS = 262_144


class TurnRecord(Request):
    """One answer of the model within an episode, and what the environment said of it."""

    start: Annotated[int, Field(ge=0)]
    """Index of its first token in the trajectory's `completion_ids`."""
    end: Annotated[int, Field(ge=0)]
    """Index behind its last token."""
    text: Annotated[str, Field(max_length=MAX_ACTION_CHARS)] = ""
    """The answer as the model wrote it."""
    reward: float
    """Of this turn alone."""
    passed_tests: int = 0
    total_tests: int = 0
    feedback: Annotated[str, Field(max_length=65536)] = ""
    """What the model was told afterwards; empty after the last turn."""
    parts: dict[str, float] = {}
    """The reward's named parts, where the environment names any."""


class Action(Request):
    """What one episode of a group answered."""

    episode: Annotated[int, Field(ge=0, lt=256)]
    """Its index in the group."""
    text: Annotated[str, Field(max_length=MAX_ACTION_CHARS)]
    code: Annotated[str, Field(max_length=MAX_CODE_CHARS)] = ""
    """The program in it, where the environment judges programs."""
    is_truncated: bool = False
    """It was cut by the token limit: the episode ends with it."""


class GroupTurn(Request):
    """The body of `POST /api/rl/env/groups/{group_id}/turn`; the same turn again is answered as the first time."""

    turn: Annotated[int, Field(ge=0, lt=1024)]
    """Counted from 0."""
    actions: Annotated[list[Action], Field(min_length=1, max_length=256)]


class TurnResult(Reply):
    """What the environment says of one action."""

    episode: int
    reward: float
    """Of this turn."""
    episode_reward: float
    """Of the episode so far, in [0, 1]; what is pushed if it ends here."""
    done: bool
    outcome: Outcome
    observation: str
    """The next user message; empty when the episode is over."""
    passed_tests: int
    total_tests: int
    parts: dict[str, float]


class GroupTurnReply(Reply):
    """Results in the order of the actions."""

    results: list[TurnResult]


class GroupOpening(Reply):
    """The reply to `POST /api/rl/env/groups/{group_id}/open`."""

    messages: list[dict[str, str]]
    """Chat messages that every episode of the group begins with."""
