"""Skyscale: reinforcement learning as a service, on compute you own.

Start reading at ARCHITECTURE.md; shared words live in `skyscale.wire`. `skyscale.Sandbox` is `skyscale.sdk.sandbox`'s,
imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skyscale.sdk.sandbox import Sandbox

__version__ = "0.1.0"
__all__ = ["Sandbox", "__version__"]


def __getattr__(name: str) -> object:
    if name == "Sandbox":
        return import_module("skyscale.sdk.sandbox").Sandbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
