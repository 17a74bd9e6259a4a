"""The life of a group and of a lease, who holds a slot, what is too old: pure functions and two tables.

    (eval)  PLANNED <-> OPEN -> EVALUATED                 expiry plans the same group again
    (train)             OPEN -> WAITING <-> LEASED -> ACKED -> CONSUMED
                         |  \\      |           `------------------^   a publish consumes directly
                         |   \\     `-> STALE    refused at lease time
                         |    `-> FLAT, FAILED  decided by the push
                         `-> EXPIRED            no push in time; a late push is taken if a slot is free

    (lease) ACTIVE -> ACKED -> PUBLISHED          EXPIRED is still good until somebody else takes one of its groups
              |  `-> RELEASED
              `--> EXPIRED -> ACTIVE | ACKED | PUBLISHED

- A train group holds a slot in OPEN, WAITING, LEASED and ACKED; never more groups than slots hold one.
- Only a publish (or an end without training) frees the slot, so no rollout starts that would be stale when trained on.
- A group is in at most one lease that ends ACKED or PUBLISHED.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from skyscale.wire.batches import Trajectory
from skyscale.wire.episodes import Outcome
from skyscale.wire.runs import RunSpec


class RunState(StrEnum):
    """What the buffer still takes and gives for a run."""

    OPEN = "open"
    FINISHING = "finishing"
    """No more train tickets and batches; evaluation goes on."""
    CLOSED = "closed"


class GroupState(StrEnum):
    """Where a group is."""

    PLANNED = "planned"
    OPEN = "open"
    WAITING = "waiting"
    LEASED = "leased"
    ACKED = "acked"
    CONSUMED = "consumed"
    FLAT = "flat"
    STALE = "stale"
    FAILED = "failed"
    EXPIRED = "expired"
    EVALUATED = "evaluated"


class LeaseState(StrEnum):
    """Where a lease is."""

    ACTIVE = "active"
    EXPIRED = "expired"
    RELEASED = "released"
    ACKED = "acked"
    PUBLISHED = "published"


HOLDS_SLOT = (GroupState.OPEN, GroupState.WAITING, GroupState.LEASED, GroupState.ACKED)
PUSHABLE = (GroupState.OPEN, GroupState.PLANNED, GroupState.EXPIRED)
"""States in which a push is news; in any other one it is a duplicate."""
LEASE_MOVES: dict[LeaseState, frozenset[LeaseState]] = {
    LeaseState.ACTIVE: frozenset(LeaseState),
    LeaseState.EXPIRED: frozenset({LeaseState.ACTIVE, LeaseState.RELEASED, LeaseState.ACKED, LeaseState.PUBLISHED}),
    LeaseState.ACKED: frozenset({LeaseState.ACKED, LeaseState.PUBLISHED}),
    LeaseState.PUBLISHED: frozenset({LeaseState.ACKED, LeaseState.PUBLISHED}),
    LeaseState.RELEASED: frozenset({LeaseState.RELEASED}),
}
"""Moves a caller may ask for; asking for an end that is already passed changes nothing."""


def num_slots(spec: RunSpec) -> int:
    """Groups that may be in play, waiting or leased at once, so that admission alone bounds staleness."""
    if spec.mode == "synchronous":
        return spec.algorithm.groups_per_step
    return spec.algorithm.groups_per_step * (spec.algorithm.max_staleness + 1)


def admitted(wanted: int, slots: int, holding: int) -> int:
    """How many of the wanted groups get a slot now."""
    return max(0, min(wanted, slots - holding))


@dataclass(frozen=True, slots=True)
class Summary:
    """What the buffer needs to know of a pushed group without opening its payload again."""

    state: GroupState
    kept: int
    dropped: int
    min_version: int
    reward_sum: float
    reward_min: float | None
    """Null when no episode is kept."""
    reward_max: float | None
    truncated: int
    passed: int
    """Kept episodes that passed every test."""


def classify(trajectories: Sequence[Trajectory], ticket_version: int, *, is_eval: bool) -> Summary:
    """The state that a pushed group enters: episodes that our infrastructure broke count as dropped, never as 0."""
    kept = [t for t in trajectories if t.outcome != Outcome.INFRASTRUCTURE_FAILURE]
    rewards = {t.reward for t in kept}
    versions = [min(t.versions) for t in kept if t.versions]
    if is_eval:
        state = GroupState.EVALUATED
    elif len(kept) < 2 or (len(rewards) < 2 and len(kept) < len(trajectories)):
        state = GroupState.FAILED if len(kept) < len(trajectories) else GroupState.FLAT
    else:
        state = GroupState.WAITING if len(rewards) > 1 else GroupState.FLAT
    return Summary(
        state=state,
        kept=len(kept),
        dropped=len(trajectories) - len(kept),
        min_version=min(versions, default=ticket_version),
        reward_sum=sum(t.reward for t in kept),
        reward_min=min(rewards, default=None),
        reward_max=max(rewards, default=None),
        truncated=sum(t.outcome == Outcome.TRUNCATED for t in kept),
        passed=sum(map(has_passed, kept)),
    )


def has_passed(trajectory: Trajectory) -> bool:
    """Whether every test was passed; the reward alone does not say it, since it pays for length too."""
    if trajectory.total_tests > 0:
        return trajectory.passed_tests >= trajectory.total_tests
    return trajectory.reward >= 1.0


def too_late(summary: Summary) -> Summary:
    """The summary of a group whose ticket expired and whose slot is taken: kept on record, never trained on."""
    return replace(summary, state=GroupState.STALE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A waiting group, as the choice of a batch sees it."""

    group_id: str
    kept: int
    min_version: int
    was_leased: bool
    """An expired lease still names it: that trainer may yet publish."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The outcome of choosing a batch."""

    batch: list[Candidate]
    """Exactly as many groups as were asked for, or none."""
    stale: list[Candidate]


def choose(candidates: Sequence[Candidate], wanted: int, spec: RunSpec, newest_version: int, taken: int) -> Choice:
    """The `wanted` oldest groups (candidates come in sequence order) that will not be stale when trained on.

    `taken` groups are leased or acked and unpublished: each full batch of them will be published first and make
    this one a version older. Groups of an expired lease that are left behind count too, since it may still publish.
    """
    choice = _choose(candidates, wanted, spec, newest_version, taken)
    gone = {c.group_id for c in (*choice.batch, *choice.stale)}
    left_behind = sum(c.was_leased and c.group_id not in gone for c in candidates)
    if choice.batch and left_behind:
        return _choose(candidates, wanted, spec, newest_version, taken + left_behind)
    return choice


def _choose(candidates: Sequence[Candidate], wanted: int, spec: RunSpec, newest_version: int, taken: int) -> Choice:
    trained_at = newest_version + taken // spec.algorithm.groups_per_step
    oldest = trained_at - spec.algorithm.max_staleness
    stale = [c for c in candidates if c.min_version < oldest]
    fresh = [c for c in candidates if c.min_version >= oldest]
    return Choice(batch=fresh[:wanted] if len(fresh) >= wanted else [], stale=stale)
