"""Skyscale: reinforcement learning as a service, on compute you own.

Start reading at ARCHITECTURE.md; shared words live in `skyscale.wire`. What `import skyscale` offers a person is in
the table below, each imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skyscale.sdk.app import App, ExecutionFailed
    from skyscale.sdk.client import AsyncClient, Client
    from skyscale.sdk.image import Image
    from skyscale.sdk.marks import enter, method, web_endpoint
    from skyscale.sdk.run import Run, train
    from skyscale.sdk.sandbox import Sandbox

__version__ = "0.1.0"
_PLACES = {
    "App": "app", "ExecutionFailed": "app", "AsyncClient": "client", "Client": "client", "Image": "image",
    "enter": "marks", "method": "marks", "web_endpoint": "marks", "Run": "run", "train": "run", "Sandbox": "sandbox",
}  # fmt: skip
__all__ = [
    "App", "AsyncClient", "Client", "ExecutionFailed", "Image", "Run", "Sandbox", "__version__", "enter", "method",
    "train", "web_endpoint",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name in _PLACES:
        return getattr(import_module(f"skyscale.sdk.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
