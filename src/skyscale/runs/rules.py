"""The life of a run, as a table. Pure: no clock, no database.

    STARTING ----policy server healthy----> RUNNING
       |                                       |
       |  stop, or a job failed for good       |  stop, limit reached and evaluated, or a job failed for good
       v                                       v
    STOPPING ---- no job is alive ----> its ending: STOPPED | COMPLETED | FAILED

- The ending is decided once, when STOPPING begins, with its reason; it never changes after.
- An ended run never moves again.
- While RUNNING, a run whose limit is reached is *finishing*: no new training groups, the trainer ends in good order,
  the newest version is served and evaluated, and only then STOPPING begins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from skyscale.errors import Conflict
from skyscale.wire.runs import Evaluation, EvaluationResult, RunSpec, RunStage, RunStatus

TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.STARTING: frozenset({RunStatus.RUNNING, RunStatus.STOPPING}),
    RunStatus.RUNNING: frozenset({RunStatus.STOPPING}),
    RunStatus.STOPPING: frozenset({RunStatus.STOPPED, RunStatus.COMPLETED, RunStatus.FAILED}),
    RunStatus.STOPPED: frozenset(),
    RunStatus.COMPLETED: frozenset(),
    RunStatus.FAILED: frozenset(),
}
ENDED = frozenset({RunStatus.STOPPED, RunStatus.COMPLETED, RunStatus.FAILED})
TARGET_REWARD_VERSIONS = 5
"""The reward target is compared with the mean of so many of the newest versions, since one batch is noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a run has reached, for comparing with its limits."""

    newest_version: int
    rollouts_started_at: datetime | None
    recent_rewards: list[float]
    """Mean training reward of the newest versions, newest first."""


def move(status: RunStatus, to: RunStatus) -> RunStatus:
    """The new status. Raises Conflict when the table does not allow the step."""
    if to not in TRANSITIONS[status]:
        raise Conflict(f"a run that is {status} cannot become {to}", code="run_state")
    return to


def require_live(run_id: str, status: RunStatus) -> None:
    """Raise Conflict unless the run may still change."""
    if status in ENDED or status is RunStatus.STOPPING:
        raise Conflict(f"run {run_id} is {status}", code="run_ended", hint="Start a new run.")


def stage(status: RunStatus, *, is_policy_ready: bool, has_trained: bool, is_finishing: bool) -> RunStage | None:
    """What a live run is doing or waiting for; None once it has ended."""
    if status in ENDED:
        return None
    if is_finishing or status is RunStatus.STOPPING:
        return RunStage.FINISHING
    if not is_policy_ready:
        return RunStage.WAITING_FOR_POLICY
    return RunStage.TRAINING if has_trained else RunStage.WAITING_FOR_ROLLOUTS


def limit_reached(spec: RunSpec, progress: Progress, now: datetime) -> str | None:
    """Which of its own limits the run has reached, in words; None while it may go on."""
    if spec.max_steps is not None and progress.newest_version >= spec.max_steps:
        return f"reached max_steps: policy version {progress.newest_version}"
    started = progress.rollouts_started_at
    if spec.max_hours is not None and started is not None and now - started >= timedelta(hours=spec.max_hours):
        return f"reached max_hours: {spec.max_hours:g} h since the first rollout"
    rewards = progress.recent_rewards[:TARGET_REWARD_VERSIONS]
    if spec.target_reward is not None and len(rewards) == TARGET_REWARD_VERSIONS:
        mean = sum(rewards) / len(rewards)
        if mean >= spec.target_reward:
            return f"reached target_reward: mean reward {mean:.3f} over the last {len(rewards)} versions"
    return None


def evaluation_due(evaluation: Evaluation, *, newest: int, asked: int, is_finishing: bool) -> bool:
    """Whether the newest version is to be evaluated now; `asked` is the last version that was, -1 for none."""
    if evaluation.num_problems == 0 or asked >= newest:
        return False
    if asked < 0 or is_finishing:
        return True
    every = evaluation.every_versions
    return every > 0 and newest // every > asked // every


def best_version(results: Sequence[EvaluationResult]) -> int | None:
    """The version that did best on held-out problems: by pass@1, then reward, then the newer one."""
    if not results:
        return None
    return max(
        results, key=lambda each: (each.pass_at[0].value if each.pass_at else 0.0, each.reward, each.version)
    ).version


def versions_in_use(
    *, newest: int, serving: int, pinned: int | None, evaluating: int | None, best: int | None
) -> list[int]:
    """Published versions that must not be deleted, whatever their age."""
    return sorted({version for version in (newest, serving, pinned, evaluating, best) if version})


def version_to_serve(*, newest: int, pinned: int | None, evaluating: int | None) -> int:
    """Which version the policy server should serve: an open evaluation is of one exact version, so it holds swaps."""
    if evaluating is not None:
        return evaluating
    return pinned if pinned is not None else newest


START_DEADLINE = timedelta(minutes=30)
"""For the first policy server to register and load its model; a large one is fetched first."""
FINISHING_DEADLINE = timedelta(minutes=60)
STOPPING_DEADLINE = timedelta(seconds=90)
"""After it, jobs that were asked to end in good order are stopped."""


def overdue(status: RunStatus, created_at: datetime, has_policy: bool, now: datetime) -> str | None:
    """Why a run that does not get started fails, in words; None while it may still wait."""
    if status is not RunStatus.STARTING or now - created_at < START_DEADLINE:
        return None
    waited = "become healthy" if has_policy else "register"
    return f"the policy server did not {waited} within {START_DEADLINE.seconds // 60} minutes; see its job's log"


def finishing_overdue(since: datetime | None, now: datetime) -> bool:
    """Whether the final evaluation is given up."""
    return since is not None and now - since >= FINISHING_DEADLINE


def stopping_overdue(since: datetime | None, now: datetime) -> bool:
    """Whether ending in good order has taken too long."""
    return since is not None and now - since >= STOPPING_DEADLINE
