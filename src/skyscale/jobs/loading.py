"""The table of providers, and how one is loaded by its name."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import cast

from skyscale.errors import Invalid
from skyscale.jobs.provider import Provider, Setup

PROVIDERS = {
    "local": "skyscale.jobs.providers.local:LocalProvider",
    "ray": "skyscale.jobs.providers.ray:RayProvider",
    "akash": "skyscale.jobs.providers.akash.provider:AkashProvider",
    "huggingface": "skyscale.jobs.providers.huggingface:HuggingFaceProvider",
    "modal": "skyscale.jobs.providers.modal.provider:ModalProvider",
}
"""Name -> class, whose one argument is a `Setup`."""


def load_provider(name: str, setup: Setup) -> Provider:
    """The provider of that name. Raises Invalid for an unknown one, with the names that exist."""
    target = PROVIDERS.get(name)
    if target is None:
        raise unknown_provider(name, PROVIDERS)
    module, _, cls = target.partition(":")
    return cast(Provider, getattr(import_module(module), cls)(setup))


def load_providers(data_dir: Path, owner: str) -> dict[str, Provider]:
    """Every provider of the table by name, ready or not, with its files under `data_dir/jobs`."""
    setup = Setup(jobs_dir=data_dir / "jobs", owner=owner)
    return {name: load_provider(name, setup) for name in PROVIDERS}


def unknown_provider(name: str, known: Iterable[str]) -> Invalid:
    """The refusal of a provider that does not exist."""
    return Invalid(
        f"there is no provider {name!r}", code="provider_unknown", hint=f"Use one of: {', '.join(sorted(known))}."
    )
