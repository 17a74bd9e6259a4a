"""Layers of isolation as every backend reports them: which are missing, and whether that can be borne. Pure.

A layer is in force when its value is `yes`; `no: reason` says why it is not. Other values describe (a version, a path).
"""

from collections.abc import Mapping

OPTIONAL = ("landlock", "own uid", "cgroup")
"""Further lines of defence: unknown code may run without them."""


def is_optional(layer: str) -> bool:
    """Whether unknown code may run without it."""
    return any(word in layer for word in OPTIONAL)


def missing(layers: Mapping[str, str]) -> list[str]:
    """The names of the layers that are not in force, sorted."""
    return sorted(name for name, value in layers.items() if value != "yes" and value.startswith("no"))


def missing_needed(layers: Mapping[str, str]) -> list[str]:
    """Those of the missing ones without which unknown code should not run."""
    return [name for name in missing(layers) if not is_optional(name)]
