"""What became of one batch, in numbers; they are defined in docs/metrics-training.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from skyscale.trainer.episodes import Lesson
from skyscale.trainer.metrics import TokenRecord, token_metrics
from skyscale.trainer.packing import MicroBatch
from skyscale.wire.batches import LeasedGroup
from skyscale.wire.episodes import Outcome


@dataclass(frozen=True, slots=True)
class StepReport:
    """What became of one batch."""

    episode_reward: float
    metrics: dict[str, float]
    """See docs/metrics-training.md."""
    num_samples: int
    num_tokens: int
    """Completion tokens that count in the loss."""
    skipped_steps: int


@dataclass(frozen=True, slots=True)
class Minibatch:
    """The groups of one optimizer step, packed and counted."""

    batches: list[MicroBatch]
    """Those of this process; none if no group has anything to teach."""
    num_tokens: int
    num_sequences: int
    denominator: float
    """What the step's sum of losses is divided by."""
    teaches: bool
    """Some group has a gradient, though perhaps in another process of the team."""
    num_computed: int
    """Input tokens, with padding, of all processes."""


def count(lessons: Sequence[Lesson]) -> tuple[int, int]:
    """Tokens and sequences that count."""
    return sum(each.num_tokens for each in lessons), sum(each.num_sequences for each in lessons)


def step_report(
    groups: list[LeasedGroup],
    minibatches: list[Minibatch],
    records: list[TokenRecord],
    norms: list[float],
    version: int,
) -> StepReport:
    """The report on `groups`, trained on in `minibatches` from policy version `version`."""
    episodes = [t for group in groups for t in group.trajectories if t.outcome is not Outcome.INFRASTRUCTURE_FAILURE]
    num_samples = max(1, len(episodes))
    num_tokens = sum(minibatch.num_tokens for minibatch in minibatches)
    all_tokens = sum(len(t.completion_ids) for t in episodes)
    computed = sum(minibatch.num_computed for minibatch in minibatches)
    one_by_one = sum(len(group.prompt_ids) * len(group.trajectories) for group in groups) + all_tokens
    finite = [norm for norm in norms if isfinite(norm)]
    flat = sum(len({t.reward for t in group.trajectories}) == 1 for group in groups)
    losses = sum(float(record.loss_N.double().sum()) for record in records)
    metrics = token_metrics(records, version) | {
        "loss": losses / max(1.0, sum(minibatch.denominator for minibatch in minibatches)),
        "grad_norm": finite[-1] if finite else 0.0,
        "skipped_steps": float(len(norms) - len(finite)),
        "completion_tokens": sum(t.num_sampled for t in episodes) / num_samples,
        "truncated_share": sum(t.outcome is Outcome.TRUNCATED for t in episodes) / num_samples,
        "packed_share": computed / max(1, one_by_one),
        "flat_share": flat / max(1, len(groups)),
        "groups": float(len(groups)),
    }
    return StepReport(
        episode_reward=sum(t.reward for t in episodes) / num_samples,
        metrics=metrics,
        num_samples=len(episodes),
        num_tokens=num_tokens,
        skipped_steps=len(norms) - len(finite),
    )
