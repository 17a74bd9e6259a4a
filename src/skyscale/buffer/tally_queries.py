"""Train groups of a run by state, without reading again what can no longer change.

- Consumed, flat, stale and failed groups stay as they are. What lies before the first group that can still change is
  summed up once; each look reads the groups from there on.
- Only an expired group before that place can still be pushed, and none can expire there: as long as the number of
  expired ones is the same there, so is everything else; otherwise the run is counted anew.
- Numbers are given out under the run's lock, so no group appears before one that was seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.buffer.rules import GroupState
from skyscale.store.prepared import Prepared
from skyscale.store.tables.buffer import buffer_groups as groups
from skyscale.wire.episodes import Purpose

Counts = dict[GroupState, tuple[int, int, int]]
"""Groups, kept trajectories and dropped trajectories."""
FINAL = (GroupState.CONSUMED, GroupState.FLAT, GroupState.STALE, GroupState.FAILED)
SETTLED_AT_ONCE = 256
"""A look reads about so many groups that can no longer change, at 0.5 us each, before they are summed up for good."""
_MAX_RUNS = 1024
_STATES = tuple(GroupState)
"""All are named so that the index of (run, purpose, state, sequence) gives each one's range."""
_BEFORE = "before"
_MINE = (groups.c.run_id == bindparam("run"), groups.c.purpose == Purpose.TRAIN)
_FROM, _TO = groups.c.sequence >= bindparam("begin"), groups.c.sequence < bindparam("end")
_SUMS = (func.count(), func.sum(groups.c.kept), func.sum(groups.c.dropped), func.min(groups.c.sequence))
_BY_STATE = select(groups.c.state, *_SUMS, func.max(groups.c.sequence)).group_by(groups.c.state)
_EXPIRED_BEFORE = select(literal(_BEFORE), func.count(), *(literal(0),) * 4).where(
    *_MINE, groups.c.state == GroupState.EXPIRED, groups.c.sequence < bindparam("begin")
)
_SINCE = Prepared(union_all(_BY_STATE.where(*_MINE, groups.c.state.in_(_STATES), _FROM), _EXPIRED_BEFORE))
_BETWEEN = Prepared(_BY_STATE.where(*_MINE, groups.c.state.in_(_STATES), _FROM, _TO))


@dataclass(frozen=True, slots=True)
class _Settled:
    """What is known of the groups before a sequence number."""

    end: int = 0
    counts: Counts = field(default_factory=Counts)
    num_expired: int = 0


class Tally:
    """Counts of runs."""

    def __init__(self, settled_at_once: int = SETTLED_AT_ONCE) -> None:
        self._settled_at_once = settled_at_once
        self._settled: dict[str, _Settled] = {}

    async def count(self, connection: AsyncConnection, run_id: str) -> Counts:
        """Train groups by state, as this transaction sees them."""
        settled = self._settled.get(run_id) or _Settled()
        rows, num_expired = await _since(connection, run_id, settled.end)
        if num_expired != settled.num_expired:  # one of them was pushed after all
            settled = _Settled()
            rows, _ = await _since(connection, run_id, 0)
        if sum(row.number for row in rows if row.state in FINAL) >= self._settled_at_once:
            await self._settle(connection, run_id, settled, _first_open(rows))
        return _sum(settled.counts, rows)

    async def _settle(self, connection: AsyncConnection, run_id: str, known: _Settled, end: int) -> None:
        bounds = {"run": run_id, "begin": known.end, "end": end}
        rows = [_row(each) for each in await _BETWEEN.all(connection, bounds)]
        if any(row.state not in (*FINAL, GroupState.EXPIRED) for row in rows):
            return  # pushed between the two looks
        expired = sum(row.number for row in rows if row.state == GroupState.EXPIRED)
        if len(self._settled) >= _MAX_RUNS:
            self._settled.clear()
        self._settled[run_id] = _Settled(end, _sum(known.counts, rows), known.num_expired + expired)


class _Row(NamedTuple):
    state: GroupState
    number: int
    kept: int
    dropped: int
    first: int
    last: int


def _row(values: Sequence[Any]) -> _Row:
    return _Row(GroupState(values[0]), *(int(value) for value in values[1:]))


def _first_open(rows: list[_Row]) -> int:
    """Before this number nothing changes but expired groups."""
    changing = [row.first for row in rows if row.state not in (*FINAL, GroupState.EXPIRED)]
    return min(changing, default=max(row.last for row in rows) + 1)


async def _since(connection: AsyncConnection, run_id: str, begin: int) -> tuple[list[_Row], int]:
    """By state the groups from a number on, and how many before it have expired."""
    found = await _SINCE.all(connection, {"run": run_id, "begin": begin})
    before = sum(int(each[1]) for each in found if each[0] == _BEFORE)
    return [_row(each) for each in found if each[0] != _BEFORE], before


def _sum(counts: Counts, rows: list[_Row]) -> Counts:
    total = dict(counts)
    for row in rows:
        number, kept, dropped = total.get(row.state, (0, 0, 0))
        total[row.state] = number + row.number, kept + row.kept, dropped + row.dropped
    return total
