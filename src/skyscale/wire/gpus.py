"""Accelerators and who has them: the reply to `GET /api/gpus`."""

from skyscale.wire.base import Reply


class GpuOffer(Reply):
    """An accelerator as one provider has it."""

    provider: str
    gpu_model: str
    """The name to ask for it by; `a100:2` asks for two."""
    name: str
    """The provider's own name."""
    memory_gb: int | None
    usd_per_hour: float | None
    """Of one; null when it is not known or nobody bills it."""
    total: int | None
    """How many there are; null where the provider does not tell."""
    available: int | None
    """How many of them are free; null where the provider does not tell."""


class ProviderState(Reply):
    """A provider and whether it can be used."""

    name: str
    order: int | None
    """Its place in GPU_PROVIDER_ORDER, from 1; null when `auto` does not ask it."""
    is_ready: bool
    missing: str | None
    """What must be done before it runs jobs of runs."""
    trouble: str | None
    """Why it did not tell what it has."""
    runs_commands: bool
    runs_images: bool
    is_this_host: bool


class GpuInventory(Reply):
    """What all providers have, at most a minute old."""

    offers: list[GpuOffer]
    providers: list[ProviderState]
    known_models: list[str]
    """Every accelerator that has a name here, with its memory."""
