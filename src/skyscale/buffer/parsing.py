"""From the bytes of a push to checked models, in one pass for the common case.

The payload that is stored for a group is the caller's own JSON; only batches and groups with broken episodes are
cut, by orjson, whose floats are exact. `Invalid` names the field that is refused.
"""

import math
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import orjson
from pydantic import BaseModel, ValidationError

from skyscale.errors import BadRequest, Invalid
from skyscale.wire.batches import GroupBatchPush, GroupPush, TrajectoryPush
from skyscale.wire.episodes import Outcome

MAX_VERSION = 2**31 - 1
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ParsedGroup:
    """A group and the JSON to keep of it, without episodes that our infrastructure broke."""

    push: GroupPush
    payload: bytes


@dataclass(frozen=True, slots=True)
class ParsedPush:
    """A whole push: it is stored entirely or not at all."""

    groups: list[ParsedGroup] = field(default_factory=list[ParsedGroup])
    trajectory: TrajectoryPush | None = None
    has_own_rewards: bool = True
    """Its rewards are its caller's word; False when the judge itself gave them."""

    def run_ids(self) -> set[str]:
        """The runs it is for."""
        return {g.push.run_id for g in self.groups} | ({self.trajectory.run_id} if self.trajectory else set())


def parse_push(body: bytes) -> ParsedPush:
    """The push in `body`.

    Raises:
        BadRequest: it is not a JSON object.
        Invalid: a field is missing, unknown or refused.
    """
    try:
        group = GroupPush.model_validate_json(body)
    except ValidationError:
        return _parse_other(body)
    return ParsedPush(groups=[checked(group, body, "")])


def _parse_other(body: bytes) -> ParsedPush:
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadRequest("the body must be a JSON object")
    if "groups" in document:
        batch = _validated(GroupBatchPush, body)
        raw = map(orjson.dumps, cast("list[object]", document["groups"]))
        parts = [checked(g, part, f"groups.{i}.") for i, (g, part) in enumerate(zip(batch.groups, raw, strict=True))]
        return ParsedPush(groups=parts)
    if "group_id" in document or "trajectories" in document:
        return ParsedPush(groups=[checked(_validated(GroupPush, body), body, "")])
    trajectory = _validated(TrajectoryPush, body)
    check_id("run_id", trajectory.run_id)
    check_id("trajectory_id", trajectory.trajectory_id or "")
    return ParsedPush(trajectory=trajectory)


def _validated(model: type[_Model], body: bytes) -> _Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise Invalid(describe(error)) from error


def describe(error: ValidationError) -> str:
    """The first few refused fields and why, without echoing the values."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    named = [f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg']}" for p in problems[:5]]
    return "; ".join(named) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")


def checked(group: GroupPush, raw: bytes, where: str = "") -> ParsedGroup:
    """The group with the JSON to keep of it, checked for what its model cannot say. Raises Invalid."""
    check_id(f"{where}run_id", group.run_id)
    check_id(f"{where}group_id", group.group_id)
    seen: set[str] = set()
    broken = False
    for index, trajectory in enumerate(group.trajectories):
        # A sum finds NaN and infinity, which JSON does not have but 1e999 and lenient parsers do.
        if not math.isfinite(sum(trajectory.logprobs)):
            raise Invalid(f"{where}trajectories.{index}.logprobs: every log-probability must be finite")
        if trajectory.versions and not 0 <= min(trajectory.versions) <= max(trajectory.versions) <= MAX_VERSION:
            raise Invalid(f"{where}trajectories.{index}.versions: every version must be from 0 to {MAX_VERSION}")
        seen.add(trajectory.episode_id)
        broken |= trajectory.outcome == Outcome.INFRASTRUCTURE_FAILURE
    if len(seen) != len(group.trajectories):
        raise Invalid(f"{where}trajectories: episode_id must be unique within a group")
    return ParsedGroup(group, _without_broken(raw) if broken else raw)


def _without_broken(raw: bytes) -> bytes:
    document = orjson.loads(raw)
    kept = [t for t in document["trajectories"] if t["outcome"] != Outcome.INFRASTRUCTURE_FAILURE]
    return orjson.dumps(document | {"trajectories": kept})


def check_id(name: str, value: str) -> None:
    """Refuse what PostgreSQL cannot hold in text.

    Raises:
        Invalid: the id contains a NUL character.
    """
    if "\x00" in value:
        raise Invalid(f"{name}: must not contain NUL characters")
