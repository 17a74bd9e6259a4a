"""Accelerators: the names this house uses, what each has, and how a provider's own names map onto them. Pure.

A request is `cpu`, `any`, `a100`, or with a count `a100:2`. A provider's table says under which name it sells a model;
prices are dollars per hour of one accelerator and dated, since they change: they serve estimates, never invoices.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from skyscale.errors import Invalid

MAX_COUNT = 8
"""Accelerators of one job; more than one machine holds is several jobs."""
NONE, ANY = "cpu", "any"
MEMORY_GB: Mapping[str, int] = {
    "t4": 16, "l4": 24, "a10g": 24, "l40s": 48, "a100": 40, "a100-40": 40, "a100-80": 80, "h100": 80, "h200": 141,
    "b200": 180, "rtx3060": 12, "rtx3090": 24, "rtx4090": 24, "rtx5090": 32, "rtx-pro-6000": 96,
}  # fmt: skip
"""Accelerator -> its memory. `a100` is whichever variant the provider has; at least what is said here."""
MODELS = frozenset({NONE, ANY, *MEMORY_GB})


@dataclass(frozen=True, slots=True)
class Gpu:
    """What a job asks for: `count` accelerators of a model, or none (`cpu`, count 0)."""

    model: str
    count: int

    def __str__(self) -> str:
        return self.model if self.count <= 1 else f"{self.model}:{self.count}"


@dataclass(frozen=True, slots=True)
class Sold:
    """How a provider sells a model."""

    name: str
    """The provider's own name."""
    usd_per_hour: float | None = None
    """Of one accelerator; None when it is not known."""
    memory_gb: int | None = None
    """Where it differs from `MEMORY_GB`."""


def parse(text: str) -> Gpu:
    """The request in `text`. Raises Invalid, with the names that exist, for another one."""
    model, _, count = text.strip().lower().partition(":")
    if model not in MODELS:
        raise Invalid(
            f"gpu_model: {text!r} is unknown; known are {', '.join(sorted(MODELS))}",
            code="gpu_unknown",
            hint="Several of one model are written a100:2. GET /api/gpus says who has what.",
        )
    if model == NONE and not count:
        return Gpu(NONE, 0)
    if model == NONE or (count and not (count.isdecimal() and 1 <= int(count) <= MAX_COUNT)):
        detail = f"gpu_model: {text!r} must be a model, or a model with a count of 1 to {MAX_COUNT} like a100:2"
        raise Invalid(detail, code="gpu_count")
    return Gpu(model, int(count or 1))


def offered(gpu: Gpu, table: Mapping[str, Sold], provider: str) -> Sold | None:
    """How a provider with this table gives the request; None for no accelerator; `any` is its cheapest.

    Raises Invalid, with what it has, when it does not sell the model.
    """
    if gpu.model == NONE:
        return None
    if gpu.model == ANY and table:
        return min(table.values(), key=lambda sold: (sold.usd_per_hour is None, sold.usd_per_hour or 0.0, sold.name))
    found = table.get(gpu.model)
    if found is None:
        has = ", ".join(sorted(table)) or "no accelerators"
        raise Invalid(f"gpu_model: {provider} has no {gpu.model}; it has {has}", code="gpu_not_offered")
    return found
