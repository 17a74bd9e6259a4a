"""Which engines there are, and loading one by name: their packages are imported only when they are used."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from skyscale.errors import Invalid
from skyscale.policy.engine import Engine

ENGINES = {
    "torch": "skyscale.policy.engines.torch:TorchEngine",
    "vllm": "skyscale.policy.engines.vllm:VllmEngine",
}
"""Name -> where its class is; called with `(folder, *, version, decode)`."""

INSTALLS = {
    "torch": "Run pip install 'skyscale[train]'.",
    "vllm": "Install it (make vllm) and set SKYSCALE_POLICY_PYTHON to the Python that has it (docs/engines.md).",
}
"""What to do when a package that the engine needs is not there."""


def load_engine(name: str) -> Callable[..., Engine]:
    """The engine class called `name`.

    Raises:
        Invalid: no such engine, or a package that it needs is not installed.
    """
    if name not in ENGINES:
        raise Invalid(f"no engine {name!r}: there are {', '.join(ENGINES)}", code="engine_unknown")
    module, _, attribute = ENGINES[name].partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as e:
        if (e.name or "").startswith("skyscale"):
            raise
        raise Invalid(
            f"{e.name}, which the engine {name} needs, is not installed", code="extra_missing", hint=INSTALLS[name]
        ) from e


def open_engine(name: str, folder: Path, *, version: int, decode: Callable[[list[int]], str]) -> Engine:
    """The engine called `name` with the model in `folder`, not yet started; `decode` turns ids into text."""
    return load_engine(name)(folder, version=version, decode=decode)
