"""What is kept, what matches a filter, where a page ends: pure.

- Content of a group is deleted only when nothing can train on it any more (`SETTLED`).
- The newest `keep` groups of each purpose keep their content; of older train groups every `sample_every`-th does.
- The evaluation of version 0 keeps its content: it is what every later one is compared with.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from skyscale.buffer.rules import GroupState
from skyscale.errors import BadRequest
from skyscale.wire.episodes import Outcome, Purpose

SETTLED = (GroupState.CONSUMED, GroupState.FLAT, GroupState.STALE, GroupState.FAILED, GroupState.EVALUATED)
"""States that a group never leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutFilter:
    """Which groups a reader wants; every given condition must hold."""

    problem_id: str | None = None
    purpose: Purpose | None = None
    state: GroupState | None = None
    outcome: Outcome | None = None
    """Groups with at least one episode that ended so."""
    min_version: int | None = None
    max_version: int | None = None
    """Bounds on the group's `version`."""
    min_reward: float | None = None
    max_reward: float | None = None
    """Bounds on the group's mean reward."""
    text: str | None = None
    """Groups in which a completion contains this, upper and lower case alike."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much content is kept of each run; `queries.sweepable` is its form in SQL."""

    keep: int
    """Newest groups of each purpose."""
    sample_every: int
    """0 keeps no sample."""


def contains(group: Mapping[str, Any], needle: str) -> bool:
    """Whether a completion of a stored group contains the text; `needle` is case-folded."""
    return any(
        needle in str(trajectory.get(name) or "").casefold()
        for trajectory in group["trajectories"]
        for name in ("text", "code")
    )


def reward_parts(trajectory: Mapping[str, Any]) -> dict[str, float]:
    """The reward taken apart: as it was recorded, else share of passed tests and penalty for length."""
    recorded = trajectory.get("reward_parts")
    if isinstance(recorded, dict) and recorded:
        return {str(name): float(value) for name, value in recorded.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    total = int(trajectory.get("total_tests") or 0)
    if total == 0:
        return {"reward": float(trajectory["reward"])}
    length = -0.0001 * max(0, len(trajectory["code"]) - 500)
    return {"tests": int(trajectory.get("passed_tests") or 0) / total, "length": round(length, 6) + 0.0}


def write_cursor(pushed_at: datetime, group_id: str) -> str:
    """Where the next page begins: after this group."""
    return base64.urlsafe_b64encode(f"{pushed_at.isoformat()} {group_id}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """What `write_cursor` wrote. Raises BadRequest."""
    try:
        time, _, group_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(" ")
        pushed_at = datetime.fromisoformat(time)
        if pushed_at.tzinfo is None or not group_id or "\x00" in group_id:
            raise ValueError(cursor)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("this cursor is not one of ours", hint="Use `next_cursor` of the page before.") from error
    return pushed_at, group_id
