"""The contract of a place to log to, and the table of those there are.

A sink is loaded by name; a missing package is an error that says what to install.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from skyscale.errors import Invalid
from skyscale.wire.runs import RunSpec

SINKS = {
    "tensorboard": "skyscale.logger.sinks.tensorboard:TensorBoardSink",
    "wandb": "skyscale.logger.sinks.wandb:WandbSink",
}


@dataclass(frozen=True, slots=True)
class Place:
    """What a sink is told when it begins."""

    spec: RunSpec
    folder: Path
    """The sink's own, kept with the run's artifacts; it exists."""


class Sink(Protocol):
    """Takes numbers of one run."""

    def scalars(self, step: int, at_s: float, values: Mapping[str, float]) -> None:
        """Numbers of one policy version at a time in seconds since the epoch; versions may come out of order."""
        ...

    def where(self) -> str:
        """Where a person finds them."""
        ...

    def close(self) -> None:
        """Write everything and end."""
        ...


def load_sink(name: str, place: Place) -> Sink:
    """The sink of that name, begun. Raises Invalid for an unknown one or a package that is not installed."""
    leaf = SINKS.get(name)
    if leaf is None:
        raise Invalid(f"loggers: {name!r} is unknown; known are {', '.join(SINKS)}")
    module_name, _, class_name = leaf.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("skyscale"):
            raise
        hint = f"pip install 'skyscale[{name}]'"
        raise Invalid(f"loggers: {name} is not installed here", code="extra_missing", hint=hint) from error
    return cast("Sink", getattr(module, class_name)(place))
