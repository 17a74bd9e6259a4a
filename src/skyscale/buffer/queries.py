"""SQL of the buffer: runs, groups, pushes.

- Every function runs in its caller's transaction.
- A run's row is locked (PostgreSQL; SQLite has one writer) by whoever counts slots, so that two processes cannot both
  grant the last one.
- Statements of the hot path are `Prepared`: building one, and SQLAlchemy's way to the driver, cost more than SQLite
  needs to run it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Text, and_, bindparam, cast, func, insert, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.buffer.rules import HOLDS_SLOT, GroupState, RunState
from skyscale.store.prepared import Prepared, Values
from skyscale.store.tables.buffer import buffer_groups as groups
from skyscale.store.tables.buffer import buffer_payloads as payloads
from skyscale.store.tables.buffer import buffer_runs as runs
from skyscale.wire.episodes import Purpose
from skyscale.wire.runs import RunSpec


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as the buffer knows it."""

    run_id: str
    state: RunState
    spec: RunSpec
    slots: int
    newest_version: int
    next_sequence: int


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group without its payload."""

    group_id: str
    run_id: str
    sequence: int
    purpose: Purpose
    problem_id: str
    version: int
    seed: int
    state: GroupState
    expires_at: datetime | None
    min_version: int | None
    """On a ticket: the oldest version that may sample it. Pushed: the version of its oldest token."""


_GROUP = tuple(groups.c[field.name] for field in fields(GroupRow))


def _group(row: Sequence[Any]) -> GroupRow:
    group_id, run_id, sequence, purpose, problem_id, version, seed, state, *rest = row
    return GroupRow(group_id, run_id, sequence, Purpose(purpose), problem_id, version, seed, GroupState(state), *rest)


async def insert_run(connection: AsyncConnection, spec: RunSpec, slots: int, state: RunState) -> None:
    """A new run, at version 0."""
    values = {"run_id": spec.run_id, "state": state, "spec": spec.model_dump(mode="json"), "slots": slots}
    await connection.execute(insert(runs).values(**values, newest_version=0, next_sequence=0))


_SPEC = cast(runs.c.spec, Text).label("document")
_RUN = select(runs.c.run_id, runs.c.state, _SPEC, runs.c.slots, runs.c.newest_version, runs.c.next_sequence).where(
    runs.c.run_id == bindparam("id_")
)
_ONE_RUN, _LOCKED_RUN = Prepared(_RUN), Prepared(_RUN.with_for_update())


async def load_run(connection: AsyncConnection, run_id: str, *, lock: bool = False) -> RunRow | None:
    """The run, its row locked until the transaction ends if asked."""
    row = await (_LOCKED_RUN if lock else _ONE_RUN).first(connection, {"id_": run_id})
    if row is None:
        return None
    id_, state, document, slots, newest_version, next_sequence = row
    return RunRow(id_, RunState(state), _spec(document), slots, newest_version, next_sequence)


@lru_cache(maxsize=64)
def _spec(document: str) -> RunSpec:
    # Read with every ticket and batch, and it never changes.
    return RunSpec.model_validate_json(document)


async def update_run(connection: AsyncConnection, run_id: str, **values: object) -> None:
    """Set columns of a run."""
    await connection.execute(update(runs).where(runs.c.run_id == run_id).values(**values))


_ADVANCE = Prepared(update(runs).where(runs.c.run_id == bindparam("id_")).values(next_sequence=bindparam("next")))


async def advance(connection: AsyncConnection, run_id: str, next_sequence: int) -> None:
    """Note that the groups before this number were made."""
    await _ADVANCE.change(connection, {"id_": run_id, "next": next_sequence})


_STATES = Prepared(select(runs.c.run_id, runs.c.state).where(runs.c.run_id.in_(bindparam("ids", expanding=True))))


def run_states(connection: Connection, run_ids: Iterable[str]) -> dict[str, RunState]:
    """State of each run that exists."""
    return {run_id: RunState(state) for run_id, state in _STATES.all_now(connection, {"ids": sorted(run_ids)})}


_BLANK: dict[str, object] = {
    "kept": 0, "dropped": 0, "reward_sum": 0.0, "request_id": None, "expires_at": None, "min_version": None,
}  # fmt: skip
_NEW_GROUP = Prepared(
    insert(groups),
    ("group_id", "run_id", "sequence", "purpose", "problem_id", "version", "seed", "state", *_BLANK),
)


async def insert_groups(connection: AsyncConnection, rows: list[dict[str, object]]) -> None:
    """New groups; `rows` name the columns that differ from an unpushed group's."""
    await _NEW_GROUP.change(connection, list[Values]([_BLANK | row for row in rows]))


_OF_RUN = groups.c.run_id == bindparam("run")
_TRAIN = and_(_OF_RUN, groups.c.purpose == Purpose.TRAIN)
_EVAL = and_(_OF_RUN, groups.c.purpose == Purpose.EVAL)
_OF_REQUEST = Prepared(
    select(*_GROUP)
    .where(_OF_RUN, groups.c.request_id == bindparam("request"), groups.c.state == GroupState.OPEN)
    .order_by(groups.c.purpose, groups.c.sequence)
)


async def groups_of_request(connection: AsyncConnection, run_id: str, request_id: str) -> list[GroupRow]:
    """Groups that a ticket request was granted and that are still open, in order."""
    return [_group(row) for row in await _OF_REQUEST.all(connection, {"run": run_id, "request": request_id})]


_DUE = and_(groups.c.state == GroupState.OPEN, groups.c.expires_at < bindparam("now"))
_NUM_DUE = Prepared(select(func.count()).where(_OF_RUN, _DUE))
_ENDS = (
    Prepared(update(groups).where(_TRAIN, _DUE).values(state=GroupState.EXPIRED)),
    Prepared(update(groups).where(_EVAL, _DUE).values(state=GroupState.PLANNED)),
)


async def expire_tickets(connection: AsyncConnection, run_id: str, now: datetime) -> int:
    """End open tickets whose time is over: train groups lose their slot, evaluation groups are planned again."""
    at = {"run": run_id, "now": now}
    if not (await _NUM_DUE.all(connection, at))[0][0]:
        return 0  # nearly always, and a look costs less than two updates of nothing
    return sum([await ending.change(connection, at) for ending in _ENDS])


_HOLDING = Prepared(select(func.count()).where(_TRAIN, groups.c.state.in_(HOLDS_SLOT)))


async def num_holding_slots(connection: AsyncConnection, run_id: str) -> int:
    """Train groups that hold a slot."""
    return (await _HOLDING.all(connection, {"run": run_id}))[0][0]


async def planned_evaluations(connection: AsyncConnection, run_id: str, limit: int) -> list[str]:
    """Ids of evaluation groups that nobody plays, oldest version first."""
    mine = (groups.c.run_id == run_id, groups.c.purpose == Purpose.EVAL, groups.c.state == GroupState.PLANNED)
    query = select(groups.c.group_id).where(*mine).order_by(groups.c.version, groups.c.sequence)
    return list((await connection.execute(query.limit(limit))).scalars())


@dataclass(frozen=True, slots=True)
class PendingEvaluation:
    """Evaluation groups that are not pushed yet."""

    planned: int
    in_play: int
    version: int | None
    """The version that they are for, the oldest if there are several; null when there are none."""


_UNFINISHED = Prepared(
    select(groups.c.state, func.count(), func.min(groups.c.version))
    .where(_EVAL, groups.c.state.in_((GroupState.PLANNED, GroupState.OPEN)))
    .group_by(groups.c.state)
)


async def unfinished_evaluation(connection: AsyncConnection, run_id: str) -> PendingEvaluation:
    """What is left to play of a run's evaluations."""
    rows = await _UNFINISHED.all(connection, {"run": run_id})
    found = {GroupState(state): (int(n), int(version)) for state, n, version in rows}
    planned, in_play = (found.get(state, (0, None))[0] for state in (GroupState.PLANNED, GroupState.OPEN))
    return PendingEvaluation(planned, in_play, min((version for _, version in found.values()), default=None))


async def open_groups(
    connection: AsyncConnection, group_ids: Sequence[str], request_id: str, expires_at: datetime
) -> None:
    """Give planned groups out on tickets."""
    values = {"state": GroupState.OPEN, "request_id": request_id, "expires_at": expires_at}
    await connection.execute(update(groups).where(groups.c.group_id.in_(group_ids)).values(**values))


_NAMED = groups.c.group_id.in_(bindparam("ids", expanding=True))
_LOCKED_GROUPS = Prepared(select(*_GROUP).where(_NAMED).with_for_update())
_ONE_GROUP = Prepared(select(*_GROUP).where(groups.c.group_id == bindparam("id_")))


def lock_groups(connection: Connection, group_ids: Iterable[str]) -> dict[str, GroupRow]:
    """Groups by id; nobody else changes them until the transaction ends."""
    return {row[0]: _group(row) for row in _LOCKED_GROUPS.all_now(connection, {"ids": sorted(group_ids)})}


async def load_group(connection: AsyncConnection, group_id: str) -> GroupRow | None:
    """The group as it is now."""
    row = await _ONE_GROUP.first(connection, {"id_": group_id})
    return None if row is None else _group(row)


def num_free_slots(connection: Connection, run_id: str) -> int:
    """Slots that no group holds; nobody else counts them until the transaction ends."""
    slots = connection.execute(select(runs.c.slots).where(runs.c.run_id == run_id).with_for_update()).scalar_one()
    return slots - _HOLDING.all_now(connection, {"run": run_id})[0][0]


_TOLD = ("state", "pushed_at", "kept", "dropped", "min_version", "reward_sum", "reward_min", "reward_max")
_STORE = Prepared(
    update(groups)
    .where(groups.c.group_id == bindparam("id_"))
    .values({name: bindparam(name) for name in (*_TOLD, "truncated", "passed")})
    .values(judged=null())
)
_CONTENTS = Prepared(insert(payloads), ("group_id", "payload"))


def store_groups(connection: Connection, rows: list[dict[str, object]], contents: list[dict[str, object]]) -> None:
    """What pushes say of their groups (`id_` and the columns of `_STORE`), and the payloads."""
    _STORE.change_now(connection, list[Values](rows))
    _CONTENTS.change_now(connection, list[Values](contents))


@dataclass(frozen=True, slots=True)
class EvaluationCount:
    """The groups of one evaluation, summed up."""

    version: int
    num_groups: int
    num_done: int
    num_episodes: int
    reward_sum: float
    last_push: datetime | None


async def count_evaluations(
    connection: AsyncConnection, run_id: str, version: int | None = None
) -> list[EvaluationCount]:
    """Evaluations of a run, by version."""
    done = func.count().filter(groups.c.state == GroupState.EVALUATED)
    sums = (func.count(), done, func.sum(groups.c.kept), func.sum(groups.c.reward_sum), func.max(groups.c.pushed_at))
    query = select(groups.c.version, *sums).where(groups.c.run_id == run_id, groups.c.purpose == Purpose.EVAL)
    if version is not None:
        query = query.where(groups.c.version == version)
    rows = await connection.execute(query.group_by(groups.c.version).order_by(groups.c.version))
    return [EvaluationCount(v, n, d, int(kept), float(reward), at) for v, n, d, kept, reward, at in rows]


_PAYLOADS = Prepared(
    select(payloads.c.group_id, payloads.c.payload).where(payloads.c.group_id.in_(bindparam("ids", expanding=True)))
)


async def load_payloads(connection: AsyncConnection, group_ids: Sequence[str]) -> dict[str, bytes]:
    """The stored JSON of each group."""
    rows = await _PAYLOADS.all(connection, {"ids": list(group_ids)})
    return {str(group_id): bytes(payload) for group_id, payload in rows}
