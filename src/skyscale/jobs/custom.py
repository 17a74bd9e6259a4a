"""What may be asked for as a job of its own, and who can run it. Pure."""

from collections.abc import Sequence

from skyscale.errors import Invalid
from skyscale.jobs import gpus
from skyscale.jobs.places import Places
from skyscale.jobs.provider import Abilities
from skyscale.wire.jobs import TrainingJobCreate

RUN_JOB_PREFIXES = ("job-policy-", "job-trainer-", "job-worker-", "job-logger-")


def check(body: TrainingJobCreate, places: Places) -> None:
    """Raise Invalid, naming the field, for a job that cannot work."""
    if body.job_id and body.job_id.startswith(RUN_JOB_PREFIXES):
        raise Invalid(f"{body.job_id}: this prefix names jobs of runs", hint="Choose another job_id.")
    if any("\0" in text for text in (*body.command, *body.env_vars, *body.env_vars.values())):
        raise Invalid("command and env_vars must not hold NUL characters")
    if any(not name or "=" in name for name in body.env_vars):
        raise Invalid("names in env_vars must not be empty or hold '='")
    gpu = gpus.parse(body.gpu_model)
    places.check(body.provider, is_of_run=False)
    first, order = places.choose(body.provider)
    able = [places.providers[name].abilities for name in order or [first]]
    if not any(can_run(each, body.command, body.docker_image) for each in able):
        raise Invalid(
            f"provider {body.provider!r} needs a command to run",
            code="command_missing",
            hint="Give `command`, for example ['python', '-c', 'print(1)'].",
        )
    places.check_capacity(body.provider, body.capacity, body.gpu_model)
    if not any(can_give(each, gpu) for each in able):
        has = sorted({model for each in able for model in each.gpu_models or ()})
        raise Invalid(f"gpu_model: {body.provider} has no {gpu.model}; it has {', '.join(has)}", code="gpu_not_offered")


def can_run(able: Abilities, command: Sequence[str], image: str | None) -> bool:
    """Whether such a provider has something to run: a command, or an image that brings its own."""
    return able.runs_commands if command else able.runs_images and image is not None


def can_give(able: Abilities, gpu: gpus.Gpu) -> bool:
    """Whether such a provider sells the accelerator at all."""
    return able.gpu_models is None or gpu.model in (gpus.NONE, gpus.ANY) or gpu.model in able.gpu_models
