"""From what a caller asked to what the run is: every default filled in, every value checked. Pure."""

import re
from collections.abc import Collection, Sequence

from skyscale.errors import Invalid
from skyscale.jobs import gpus
from skyscale.jobs.places import AUTO
from skyscale.wire.algorithms import contradictions
from skyscale.wire.runs import RunCreate, RunSpec

STARTER = "skyscale/starter"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
STARTER_LEARNING_RATE = 5e-4
"""The starter has about a million parameters; larger models need, and get, far smaller steps."""
LARGE_LEARNING_RATE = 1e-6
LORA_RATE_FACTOR = 10.0
"""Adapters want about ten times the rate of full training (Schulman et al., "LoRA Without Regret", 2025)."""
STARTER_MAX_NEW_TOKENS = 48
LARGE_MAX_NEW_TOKENS = 512


def resolve(request: RunCreate, run_id: str, loggers: Sequence[str] = ()) -> RunSpec:
    """The run's immutable specification; `loggers` are those of a request that does not say."""
    is_starter = request.base_model == STARTER
    algorithm, sampling = request.algorithm, request.sampling
    if algorithm.learning_rate is None:
        rate = STARTER_LEARNING_RATE if is_starter else LARGE_LEARNING_RATE
        factor = LORA_RATE_FACTOR if request.training.method == "lora" else 1.0
        algorithm = algorithm.model_copy(update={"learning_rate": rate * factor})
    if request.mode == "synchronous":
        algorithm = algorithm.model_copy(update={"max_staleness": 0, "dynamic_sampling": True})
    if sampling.max_new_tokens is None:
        tokens = STARTER_MAX_NEW_TOKENS if is_starter else LARGE_MAX_NEW_TOKENS
        sampling = sampling.model_copy(update={"max_new_tokens": tokens})
    given = {name: getattr(request, name) for name in RunSpec.model_fields if name != "run_id"}
    chosen = loggers if request.loggers is None else request.loggers
    resolved = {"run_id": run_id, "algorithm": algorithm, "sampling": sampling, "loggers": list(dict.fromkeys(chosen))}
    return RunSpec.model_validate(given | resolved)


def check(spec: RunSpec, providers: Collection[str]) -> None:
    """Raise Invalid, naming the field, for a value that cannot work; asks nothing of the disk."""
    gpus.parse(spec.gpu_model)
    if spec.provider not in (AUTO, *providers):
        raise Invalid(f"provider: {spec.provider!r} is unknown; known are {', '.join(sorted(providers))}")
    if not is_path(spec.base_model) and not HUB_ID.fullmatch(spec.base_model):
        raise Invalid(
            f"base_model: {spec.base_model!r} is neither {STARTER}, nor a folder, nor a Hugging Face id like org/name"
        )
    broken = contradictions(spec.algorithm)
    if broken:
        raise Invalid(
            "; ".join(broken),
            code="algorithm_contradiction",
            hint="`skyscale algorithms show NAME` prints combinations that work; dry_run checks yours.",
        )


def is_path(base_model: str) -> bool:
    """Whether the model is named by a folder rather than an id."""
    return base_model.startswith(("/", "./", "../", "~"))
