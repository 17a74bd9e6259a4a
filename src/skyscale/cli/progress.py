"""A bar for work in phases, on a terminal's standard error; nothing where nobody watches."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_NAMES = {"sending": "sending", "reading": "checking", "solutions": "judging solutions"}


class Progress:
    """Shows each phase as one bar, in the order in which they are told of."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar

            self._bar = Bar(console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def tell(self, phase: str, done: int, total: int) -> None:
        """So much of a phase is done."""
        if self._bar is None:
            return
        if phase not in self._tasks:
            self._tasks[phase] = self._bar.add_task(_NAMES.get(phase, phase), total=total)
        self._bar.update(self._tasks[phase], completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
