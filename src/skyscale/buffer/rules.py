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

    PREPARING = "preparing"
    """Evaluation only: the run's trainer has not asked for its first batch, and rollouts would only grow stale."""
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


EVALUATION_SHARE = 0.25
"""Of the groups that workers play at once, so many belong to a pending evaluation while there is training to do."""


def evaluation_cap(spec: RunSpec) -> int:
    """Evaluation groups that are played at once before training groups get their turn; at least one."""
    return max(1, int(EVALUATION_SHARE * spec.num_workers * spec.max_concurrent_groups))


STRAGGLERS = 1
"""Batches of slots left free during an evaluation: a slow group is overtaken and trained on a version or so later."""


def train_room(spec: RunSpec, slots: int, holding: int, newest_version: int, evaluating: int | None) -> int:
    """Training groups that may be admitted now; `evaluating` is the version of an unfinished evaluation.

    That version is served until its evaluation is complete, so a group that is admitted meanwhile is sampled by it
    however new the newest version is. Each version of that lag takes a batch from the slots: what is admitted is still
    trained on within `max_staleness`. A synchronous run evaluates first and plays then, so that it can be reproduced.
    """
    lag = 0
    if evaluating is not None:
        if spec.mode == "synchronous":
            return 0
        lag = max(0, newest_version - evaluating) + STRAGGLERS
    return max(0, slots - lag * spec.algorithm.groups_per_step - holding)


def oldest_sampler(spec: RunSpec, newest_version: int, ahead: int) -> int:
    """The oldest version that may sample a group which `ahead` others precede, so that it is not stale in its turn.

    A policy server that is further behind, as right after an evaluation, is waited for: its rollouts would be refused.
    """
    trained_at = newest_version + ahead // spec.algorithm.groups_per_step
    return max(0, trained_at - spec.algorithm.max_staleness)


@dataclass(frozen=True, slots=True)
class Split:
    """How many groups of each kind a request for tickets is given."""

    evaluation: int
    train: int


def split(wanted: int, *, planned: int, in_play: int, cap: int, room: int) -> Split:
    """Evaluation up to its cap, then training; what training has no room for goes to evaluation as well.

    `planned` evaluation groups wait, `in_play` are on tickets. So neither starves: an evaluation always advances, and
    it goes beyond its cap only with tickets that training could not have had.
    """
    first = max(0, min(wanted, planned, cap - in_play))
    train = min(wanted - first, room)
    return Split(evaluation=first + min(wanted - first - train, planned - first), train=train)


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
    lease_id: str | None
    """An expired lease that still names it: that trainer may yet publish."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The outcome of choosing a batch."""

    batch: list[Candidate]
    """As many groups as a batch is to have, or none."""
    stale: list[Candidate]


def batch_size(spec: RunSpec, wanted: int, flat: int, waiting: int) -> int:
    """How many of the waiting groups make the next batch; 0 while it is not due.

    With dynamic sampling (arXiv:2503.14476) a batch is `wanted` groups that carry a signal. Without it, as in the first
    GRPO, it is the next `wanted` groups, of which the `flat` ones that came since the last batch carry none: they
    are not trained on, but they count. A batch without any signal is not one.
    """
    if spec.algorithm.dynamic_sampling:
        return wanted if waiting >= wanted else 0
    return min(waiting, wanted) if waiting + flat >= wanted else 0


def num_missing(spec: RunSpec, wanted: int, flat: int, waiting: int) -> int:
    """How many groups must at least be pushed before the next batch is due; at least one."""
    return max(1, wanted - waiting - (0 if spec.algorithm.dynamic_sampling else flat))


def choose(
    candidates: Sequence[Candidate], wanted: int, spec: RunSpec, newest_version: int, ahead: int, flat: int
) -> Choice:
    """The oldest groups (candidates come in sequence order) that will not be stale when trained on.

    `ahead` batches are leased or acked and unpublished: each will be published first and make this one a version
    older. Expired leases of which groups are left behind count too, since they may still publish.
    """
    choice = _choose(candidates, wanted, spec, newest_version + ahead, flat)
    gone = {c.group_id for c in (*choice.batch, *choice.stale)}
    left_behind = {c.lease_id for c in candidates if c.lease_id is not None and c.group_id not in gone}
    if choice.batch and left_behind:
        return _choose(candidates, wanted, spec, newest_version + ahead + len(left_behind), flat)
    return choice


def _choose(candidates: Sequence[Candidate], wanted: int, spec: RunSpec, trained_at: int, flat: int) -> Choice:
    oldest = trained_at - spec.algorithm.max_staleness
    stale = [c for c in candidates if c.min_version < oldest]
    fresh = [c for c in candidates if c.min_version >= oldest]
    return Choice(batch=fresh[: batch_size(spec, wanted, flat, len(fresh))], stale=stale)
