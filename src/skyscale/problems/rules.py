"""What names of problem sets mean. Pure."""

import re
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from skyscale.errors import Invalid, NotFound, SkyscaleError
from skyscale.wire.problem_sets import NUM_VERSION_DIGITS, SET_REF_PATTERN

EMBEDDED = "embedded"
MAX_NAMES_SHOWN = 20
_REF = re.compile(SET_REF_PATTERN)


class Version(Protocol):
    """What choosing a version needs to know of it."""

    @property
    def content_hash(self) -> str:
        """`sha256:...`."""
        ...


V = TypeVar("V", bound=Version)


def split_ref(ref: str) -> tuple[str, str]:
    """Name and version digits of a reference; the digits are empty for a bare name."""
    name, _, digits = ref.partition("@")
    return name, digits


def check_name(name: str) -> None:
    """Raise Invalid for a name that means something else."""
    if name == EMBEDDED or name.endswith(".jsonl"):
        raise Invalid(f"name: {name!r} is not free: it means the embedded set, or looks like a file's")


def is_name(text: str) -> bool:
    """Whether it can be the name, or `name@version`, of an uploaded set rather than the path of a file."""
    return _REF.fullmatch(text) is not None and text != EMBEDDED


def is_stored(ref: str) -> bool:
    """Whether a run's resolved `problem_set` is a version of an uploaded set."""
    return "@" in ref and is_name(ref)


def version_of(content_hash: str) -> str:
    """The id of the version with this content."""
    return content_hash.removeprefix("sha256:")[:NUM_VERSION_DIGITS]


def choose(versions: Sequence[V], digits: str) -> V | None:
    """The version that begins with these digits, or the first (the current one) for none.

    Raises Invalid when several begin so.
    """
    if not digits:
        return versions[0] if versions else None
    found = [each for each in versions if each.content_hash.removeprefix("sha256:").startswith(digits)]
    if len(found) > 1:
        raise Invalid(f"problem_set: {len(found)} versions begin with {digits!r}: write more digits")
    return found[0] if found else None


def unknown(ref: str, names: Iterable[str], versions: Iterable[str] = ()) -> SkyscaleError:
    """The error for a set, or a version of one, that nobody has; it says what there is."""
    name, digits = split_ref(ref)
    there = list(versions)
    if digits and there:
        detail = f"problem set {name!r} has no version {digits!r}; it has {_listed(there)}"
    else:
        detail = f"there is no problem set {name!r}; there are {_listed([EMBEDDED, *names])}"
    hint = "Upload it with `skyscale problems upload`, or choose one of these."
    return NotFound(detail, code="problem_set_not_found", hint=hint)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
    return ", ".join(names[:MAX_NAMES_SHOWN]) + more
