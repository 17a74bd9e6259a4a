"""From a run's view to the numbers that are logged, each once. Pure.

Names: `train/*` of the trainer's reports, `eval/*` of evaluations, `eval/<difficulty>/*` of their parts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from skyscale.wire.runs import EvaluationResult, EvaluationSlice, MetricsPoint, RunView


@dataclass(frozen=True, slots=True)
class Numbers:
    """What was observed of one policy version."""

    step: int
    at_s: float
    values: dict[str, float]


@dataclass(slots=True)
class Progress:
    """What was logged already; kept in a file, so that a restarted logger repeats little and forgets nothing."""

    timestamp: int = -1
    """Of the newest logged report of the trainer, in milliseconds."""
    step: int = -1
    evaluated: set[int] = field(default_factory=set[int])


def news(view: RunView, progress: Progress) -> Iterator[Numbers]:
    """What is not logged yet; counts as logged once it was taken."""
    for point in view.metrics:
        if (point.timestamp, point.step) > (progress.timestamp, progress.step):
            progress.timestamp, progress.step = point.timestamp, point.step
            yield Numbers(point.step, point.timestamp / 1000, _of_point(point))
    for result in view.evaluations:
        if result.version not in progress.evaluated:
            progress.evaluated.add(result.version)
            yield Numbers(result.version, result.finished_at.timestamp(), _of_evaluation(result))


def _of_point(point: MetricsPoint) -> dict[str, float]:
    named = {"episode_reward": point.episode_reward, "loss": point.loss, "gpu_util": point.gpu_util}
    values = point.metrics | {name: value for name, value in named.items() if value is not None}
    return {f"train/{name}": value for name, value in values.items()}


def _of_evaluation(result: EvaluationResult) -> dict[str, float]:
    values = _of_part("eval", result) | {"eval/num_problems": float(result.num_problems)}
    for part in result.by_difficulty:
        values |= _of_part(f"eval/{part.difficulty}", part)
    return values


def _of_part(prefix: str, part: EvaluationResult | EvaluationSlice) -> dict[str, float]:
    values = {f"{prefix}/reward": part.reward}
    for each in part.pass_at:
        values |= {
            f"{prefix}/pass@{each.k}": each.value,
            f"{prefix}/pass@{each.k}/low": each.low,
            f"{prefix}/pass@{each.k}/high": each.high,
        }
    return values
