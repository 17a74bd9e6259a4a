"""What goes wrong in runs' own environments: told in events, now and then; too much of it ends the run.

Counted in memory, per run and control plane. A single group that cannot be judged is dropped and told of. When nothing
but trouble has come for `FATAL_GROUPS` groups and `FATAL_S` seconds, the run has no future: `give_up` is told why, and
does nothing if another control plane had a good group meanwhile. One good group resets.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from skyscale.events.service import EventLog
from skyscale.store.engine import Database
from skyscale.wire.base import utc_now

FATAL_GROUPS = 25
FATAL_S = 60.0
EVENT_EVERY_S = 10.0
MAX_RUNS = 1000


@dataclass(slots=True)
class _Record:
    in_a_row: int = 0
    since: float = 0.0
    """When the first trouble of the row came, monotonic seconds."""
    last: str = ""
    untold: int = 0
    told_at: float | None = None


GiveUp = Callable[[str, str, datetime], Awaitable[None]]
"""Told of a run that has no future, why, and since when there was nothing but trouble."""


class Troubles:
    """Remembers what went wrong, run by run."""

    def __init__(self, database: Database, events: EventLog, clock: Callable[[], float], give_up: GiveUp) -> None:
        """`clock` is monotonic, in seconds."""
        self._give_up = give_up
        self._database = database
        self._events = events
        self._clock = clock
        self._runs: OrderedDict[str, _Record] = OrderedDict()

    def fine(self, run_id: str) -> None:
        """Something was judged."""
        if run_id in self._runs:
            self._runs[run_id].in_a_row = 0

    async def note(self, run_id: str, group_id: str, trouble: str, num_episodes: int, *, is_whole: bool) -> None:
        """Episodes could not be judged; `is_whole`: none of their group could."""
        record, now = self._record(run_id), self._clock()
        record.last, record.untold = trouble, record.untold + num_episodes
        if is_whole:
            record.since = record.since if record.in_a_row else now
            record.in_a_row += 1
            await self._maybe_give_up(run_id)
        if record.told_at is not None and now - record.told_at < EVENT_EVERY_S:
            return
        count, record.untold, record.told_at = record.untold, 0, now
        async with self._database.write() as connection:
            await self._events.append(
                connection,
                run_id=run_id,
                component="env",
                kind="environment.failed",
                level="warning",
                message=f"{count} episode(s) could not be judged and are dropped: {trouble}"[:2000],
                data={"group_id": group_id, "episodes": count},
            )

    async def _maybe_give_up(self, run_id: str) -> None:
        record = self._record(run_id)
        if record.in_a_row < FATAL_GROUPS or self._clock() - record.since < FATAL_S:
            return
        reason = f"the run's environment has failed {record.in_a_row} groups in a row: {record.last}"[:1000]
        await self._give_up(run_id, reason, utc_now() - timedelta(seconds=FATAL_S))

    def _record(self, run_id: str) -> _Record:
        record = self._runs.setdefault(run_id, _Record())
        self._runs.move_to_end(run_id)
        while len(self._runs) > MAX_RUNS:
            self._runs.popitem(last=False)
        return record
