"""What a function needs beside its code: `Image().pip_install("attrs==25.3.0")`.

A sandbox has the host's Python and pure packages. A container image, with whatever was put into it, is for functions
that run as jobs (`gpu=`).
"""

from dataclasses import dataclass, replace
from typing import Self

from skyscale.errors import Invalid


@dataclass(frozen=True)
class Image:
    """Packages, and for jobs a container image; a chain of calls, each of which gives a new one."""

    requirements: tuple[str, ...] = ()
    docker_image: str | None = None

    def pip_install(self, *packages: str) -> Self:
        """With these packages too, as pip names them."""
        return replace(self, requirements=(*self.requirements, *packages))

    def from_registry(self, name: str) -> Self:
        """On this container image; only for functions with `gpu=`."""
        return replace(self, docker_image=name)

    def apt_install(self, *packages: str) -> Self:
        """Refused: a sandbox shows the host's own system. Raises Invalid."""
        raise _not_here("apt_install", packages)

    def run_commands(self, *commands: str) -> Self:
        """Refused, as `apt_install`. Raises Invalid."""
        raise _not_here("run_commands", commands)

    def to_requirements_txt(self) -> str:
        """The packages as pip reads them from a file."""
        return "".join(f"{each}\n" for each in self.requirements)


def _not_here(name: str, what: tuple[str, ...]) -> Invalid:
    return Invalid(
        f"{name}({', '.join(map(repr, what))}): sandboxes have no system of their own to change",
        code="image_refused",
        hint="Build a container image with that in it: Image().from_registry(name), and gpu='cpu' or a model.",
    )  # fmt: skip
