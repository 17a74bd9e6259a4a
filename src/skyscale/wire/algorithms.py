"""How a policy is improved: one object, a preset by name and whatever the caller overrides, resolved when it is made.

Every field of an `Algorithm` holds the value that training uses: printing it is printing the resolved form, and reading
that back changes nothing. Formulas, papers and deviations: docs/algorithms.md. `contradictions` is asked at a run's
creation and not when an old run is read.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from pydantic import Field, model_validator

from skyscale.wire.base import Request

PresetName = Literal["skyscale", "grpo", "dr_grpo", "dapo", "gspo", "cispo", "decoupled_ppo"]


@dataclass(frozen=True, slots=True)
class Preset:
    """A published algorithm as values of `Algorithm`'s fields; fields that are not named keep their defaults."""

    summary: str
    papers: tuple[str, ...]
    """arXiv ids."""
    values: dict[str, object]


PRESETS: dict[PresetName, Preset] = {
    "skyscale": Preset(
        "The default, a mixture: Dr. GRPO's advantage, DAPO's clip, token mean and refill, decoupled PPO's correction.",
        ("2503.20783", "2503.14476", "2505.24298", "2510.18855"),
        {},
    ),
    "grpo": Preset(
        "Advantage over the group's deviation, symmetric clip, mean per sequence; the paper's KL term is off.",
        ("2402.03300",),
        {"advantage": "mean_std", "aggregation": "sequence_mean", "clip_high": 0.2, "dynamic_sampling": False},
    ),
    "dr_grpo": Preset(
        "GRPO without its two biases: no deviation, and every sequence divided by the same length.",
        ("2503.20783",),
        {"aggregation": "constant", "clip_high": 0.2, "dynamic_sampling": False},
    ),
    "dapo": Preset(
        "Clip-higher, token mean, refill of groups without a signal, and a soft penalty near the length limit.",
        ("2503.14476",),
        {"advantage": "mean_std", "overlong": "penalty"},
    ),
    "gspo": Preset(
        "One length-normalised ratio and one clip per sequence. With `minibatches` 1 the ratio is always 1.",
        ("2507.18071",),
        {
            "advantage": "mean_std", "ratio": "sequence", "aggregation": "sequence_mean", "clip_low": 3e-4,
            "clip_high": 4e-4, "minibatches": 4, "dynamic_sampling": False,
        },
    ),
    "cispo": Preset(
        "The clipped ratio is a weight without gradient, so no token loses its gradient; bounds [0, 5] of ScaleRL.",
        ("2506.13585", "2510.13786"),
        {"advantage": "mean_std", "clip": "weight", "clip_low": 1.0, "clip_high": 4.0, "minibatches": 4},
    ),
    "decoupled_ppo": Preset(
        "The ratio is clipped around the policy that starts the batch, and the engine's age is weighed apart from it.",
        ("2505.24298", "2110.00641"),
        {
            "advantage": "mean_std", "clip_high": 0.2, "clip_engine": False, "minibatches": 4, "importance_cap": 5.0,
        },
    ),
}  # fmt: skip

SEQUENCE_BOUNDS = {"none": (0.5, 2.0), "product": (0.5, 2.0), "geometric": (0.99, 1.01)}
"""Bounds of the sequence mask unless the caller gives others: a product of ratios strays further than their mean."""


class Algorithm(Request):
    """A preset and its overrides, resolved. A field that is not given has the value of the preset that `name` names.

    The defaults shown are those of the preset `skyscale`; `skyscale algorithms show NAME` prints any other.
    """

    name: PresetName = "skyscale"
    """The preset that the other fields start from."""
    group_size: Annotated[int, Field(ge=2, le=256)] = 8
    """Episodes of one problem that share a baseline (G)."""
    groups_per_step: Annotated[int, Field(ge=1, le=4096)] = 16
    """Groups in one leased batch; one policy version is published per batch."""
    minibatches: Annotated[int, Field(ge=1, le=64)] = 1
    """Optimizer steps per batch; the batch is cut by whole groups."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """AdamW step size; the default depends on the model's size."""
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 5
    """Optimizer steps over which the learning rate rises linearly from zero."""
    advantage: Literal["mean", "mean_std"] = "mean"
    """Reward minus the group's mean; `mean_std` divides it by the group's standard deviation."""
    ratio: Literal["token", "sequence"] = "token"
    """The ratio that is clipped: of each token, or the geometric mean over the sequence (arXiv:2507.18071)."""
    clip: Literal["surrogate", "weight"] = "surrogate"
    """`surrogate`: min(r A, clip(r) A), PPO's. `weight`: clip(r) A log p, without gradient through r (CISPO)."""
    clip_low: Annotated[float, Field(gt=0, le=1)] = 0.2
    clip_high: Annotated[float, Field(gt=0, le=10)] = 0.28
    """The probability ratio is clipped to [1 - clip_low, 1 + clip_high] (arXiv:2503.14476)."""
    clip_engine: bool = True
    """The clip also stops tokens whose ratio to the engine that sampled is beyond the bounds: old batches cannot push a
    token further than fresh ones may. Part of `correction`, for token ratios with a surrogate; elsewhere false."""
    proximal: Literal["recomputed", "engine"] = "recomputed"
    """What the ratio divides by: the trainer's policy at the start of the batch, or the engine that sampled (naive)."""
    aggregation: Literal["token_mean", "sequence_mean", "constant"] = "token_mean"
    """Over an optimizer step: sum / tokens, mean of the sequences' means, or sum / (sequences x max_new_tokens)."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    correction: Literal["token", "none"] = "token"
    """`token`: each token's loss is weighted by the truncated, masked trainer/engine probability ratio."""
    importance_cap: Annotated[float, Field(ge=1)] = 2.0
    """Upper bound of the trainer/engine probability ratio that weights each token."""
    importance_low: Annotated[float, Field(ge=0, le=1)] = 0.0
    importance_high: Annotated[float, Field(ge=1)] = 5.0
    """Tokens whose trainer/engine ratio leaves [importance_low, importance_high] are masked."""
    sequence_mask: Literal["none", "geometric", "product"] = "none"
    """Drop whole sequences whose trainer/engine ratios have a geometric mean, or a product, outside the bounds."""
    sequence_mask_low: Annotated[float, Field(ge=0, le=1)] = 0.5
    sequence_mask_high: Annotated[float, Field(ge=1)] = 2.0
    """Unless given, 0.5 and 2 for `product`, 0.99 and 1.01 for `geometric`."""
    kl_coefficient: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Weight of the KL divergence from the base model, which is only loaded when this is above 0."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    """Estimator of that divergence (joschu.net/blog/kl-approx.html)."""
    overlong: Literal["score", "mask", "penalty"] = "score"
    """Episodes that ran out of tokens: scored like others, without loss, or every episode pays for its last tokens."""
    overlong_buffer: Annotated[float, Field(gt=0, le=1)] = 0.2
    """`penalty`: the share of max_new_tokens over which the penalty rises from nothing to `overlong_penalty`."""
    overlong_penalty: Annotated[float, Field(ge=0, le=10)] = 1.0
    dynamic_sampling: bool = True
    """True: a batch is `groups_per_step` groups with a signal, those of equal reward are refilled (arXiv:2503.14476).
    False: a batch is the next `groups_per_step` groups in order, of which those of equal reward teach nothing."""
    max_staleness: Annotated[int, Field(ge=0, le=64)] = 4
    """Most policy versions between the oldest token of a group and the version that trains on it."""

    @model_validator(mode="before")
    @classmethod
    def _start_from_the_preset(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        values = cast("dict[str, Any]", given)
        name = values.get("name", "skyscale")
        if name not in list(PRESETS):
            return values
        preset = PRESETS[name]
        low, high = SEQUENCE_BOUNDS.get(str(values.get("sequence_mask", "none")), (0.5, 2.0))
        resolved = {"sequence_mask_low": low, "sequence_mask_high": high, **preset.values, **values}
        return {"clip_engine": _has_token_clip(resolved), **resolved}


def _has_token_clip(values: dict[str, Any]) -> bool:
    plain = {"ratio": "token", "clip": "surrogate", "proximal": "recomputed", "correction": "token"}
    return all(values.get(name, value) == value for name, value in plain.items())


def contradictions(algorithm: Algorithm) -> list[str]:
    """What cannot be meant, each with what to do; empty for an algorithm that can run."""
    rules = (
        (
            algorithm.minibatches > algorithm.groups_per_step,
            f"algorithm.minibatches ({algorithm.minibatches}) must not exceed algorithm.groups_per_step "
            f"({algorithm.groups_per_step}): a batch is cut by whole groups; lower the one or raise the other",
        ),
        (
            algorithm.importance_low > algorithm.importance_high,
            "algorithm.importance_low must not exceed algorithm.importance_high",
        ),
        (
            algorithm.proximal == "engine" and algorithm.correction != "none",
            "algorithm.proximal 'engine' already divides by the engine's probability, and algorithm.correction 'token' "
            "would do so twice: set correction to 'none', or proximal to 'recomputed'",
        ),
        (
            algorithm.ratio == "sequence" and algorithm.clip == "weight",
            "algorithm.clip 'weight' (CISPO) weighs tokens, which have no ratio of their own with algorithm.ratio "
            "'sequence': set clip to 'surrogate', or ratio to 'token'",
        ),
        (
            algorithm.ratio == "sequence" and algorithm.aggregation != "sequence_mean",
            "algorithm.ratio 'sequence' gives each sequence one loss: set algorithm.aggregation to 'sequence_mean', "
            "or ratio to 'token'",
        ),
        (
            algorithm.clip_engine and not _has_token_clip(algorithm.model_dump()),
            "algorithm.clip_engine needs correction 'token', ratio 'token', clip 'surrogate' and proximal "
            "'recomputed': leave it out",
        ),
        (
            algorithm.overlong == "penalty" and algorithm.overlong_penalty == 0,
            "algorithm.overlong 'penalty' with algorithm.overlong_penalty 0 does nothing: set overlong to 'score'",
        ),
    )
    return [reason for is_broken, reason in rules if is_broken]
