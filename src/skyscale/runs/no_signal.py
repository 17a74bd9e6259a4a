"""Notices a run that plays and cannot learn: for an hour, all groups have come in with equal rewards.

With dynamic sampling such groups are refilled, so the trainer waits and nothing looks broken. The watch is in memory: a
control plane that is started again watches for another hour before it speaks.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from skyscale.wire.batches import BufferStats

LIMIT = timedelta(hours=1)


@dataclass(slots=True)
class _Since:
    taught: int
    flat: int
    at: datetime


class SignalWatch:
    """Remembers when each run last got a group that it can learn from."""

    def __init__(self, limit: timedelta = LIMIT) -> None:
        self._limit = limit
        self._since: dict[str, _Since] = {}

    def note(self, stats: BufferStats, now: datetime) -> int | None:
        """How many episodes in a row taught nothing, once that has lasted for the limit, and once per limit."""
        taught = stats.pushed - stats.flat - stats.failed
        since = self._since.get(stats.run_id)
        if since is None or since.taught != taught:
            self._since[stats.run_id] = _Since(taught, stats.flat, now)
            return None
        if stats.flat == since.flat or now - since.at < self._limit:
            return None
        since.at = now
        return stats.flat - since.flat

    def forget(self, run_id: str) -> None:
        """The run has ended."""
        self._since.pop(run_id, None)


def explain(episodes: int, mean_reward: float | None, limit: timedelta = LIMIT) -> str:
    """The event's message: what is the case, and what to do about it."""
    found = "unknown" if mean_reward is None else f"{mean_reward:.2f}"
    minutes = limit.total_seconds() / 60
    return (
        f"for {minutes:.0f} minutes all groups had equal rewards ({episodes} episodes, mean reward {found}), "
        f"so there was nothing to learn: {_advice(mean_reward)}"
    )


def _advice(mean_reward: float | None) -> str:
    if mean_reward is not None and mean_reward < 0.1:
        return "the problems are too hard; give easier ones, a larger algorithm.group_size or sampling.max_new_tokens"
    if mean_reward is not None and mean_reward > 0.9:
        return "the problems are solved; give harder ones, or stop the run"
    return "attempts at a problem do not differ; raise sampling.temperature or algorithm.group_size, or check its tests"
