"""How long a meter's tick was: by a clock that only goes forward where this process made the tick before, else by the
wall clock. No second is charged twice, whoever ticks and whatever a wall clock does.
"""

from datetime import datetime, timedelta


class Ticks:
    """The ticks of this process, by what was metered."""

    def __init__(self) -> None:
        self._mine: dict[str, tuple[datetime, float]] = {}
        """When this process ticked it last, by both clocks."""

    def elapsed(self, key: str, metered_at: datetime, now: datetime, steady: float) -> timedelta:
        """Since the last tick, whoever made it."""
        if self._is_mine(key, metered_at):
            return timedelta(seconds=max(0.0, steady - self._mine[key][1]))
        return max(timedelta(0), now - metered_at)

    def ends_at(self, key: str, metered_at: datetime, now: datetime) -> datetime:
        """What is written as this tick's end: another process's clock may be ahead of ours."""
        return now if self._is_mine(key, metered_at) else max(now, metered_at)

    def written(self, key: str, at: datetime, steady: float, *, is_last: bool) -> None:
        """The tick is on disk."""
        self._mine[key] = (at, steady)
        if is_last:
            del self._mine[key]

    def _is_mine(self, key: str, metered_at: datetime) -> bool:
        return self._mine.get(key, (None, 0.0))[0] == metered_at
