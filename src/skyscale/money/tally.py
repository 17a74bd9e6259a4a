"""Seconds that sandboxes worked for each run, since they were last written down; of this process alone.

A crash loses what was not written yet: a second of it.
"""

from collections import defaultdict


class SandboxTally:
    """Filled by whoever runs programs, emptied by the meter."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def add(self, run_id: str, seconds: float) -> None:
        """A sandbox has run a program of this run for so long."""
        self._seconds[run_id] += max(0.0, seconds)

    def peek(self, run_id: str) -> float:
        """What is not written down yet."""
        return self._seconds.get(run_id, 0.0)

    def settle(self, run_id: str, seconds: float) -> None:
        """So much of it has been written down."""
        left = self._seconds.get(run_id, 0.0) - seconds
        if left > 1e-9:
            self._seconds[run_id] = left
        else:
            self._seconds.pop(run_id, None)
