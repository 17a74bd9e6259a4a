"""SQL of the buffer: runs, groups, pushes, leases.

- Every function runs in its caller's transaction.
- A run's row is locked (PostgreSQL; SQLite has one writer) by whoever counts slots, so that two processes cannot both
  grant the last one.
- Statements of the hot path are built once: building one and its cache key costs more than SQLite needs to run it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Text, and_, bindparam, case, cast, func, insert, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.buffer.rules import HOLDS_SLOT, Candidate, GroupState, LeaseState, RunState
from skyscale.store.tables.buffer import buffer_groups as groups
from skyscale.store.tables.buffer import buffer_leases as leases
from skyscale.store.tables.buffer import buffer_payloads as payloads
from skyscale.store.tables.buffer import buffer_runs as runs
from skyscale.wire.batches import RolloutWindow
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
_LOCKED_RUN = _RUN.with_for_update()


async def load_run(connection: AsyncConnection, run_id: str, *, lock: bool = False) -> RunRow | None:
    """The run, its row locked until the transaction ends if asked."""
    row = (await connection.execute(_LOCKED_RUN if lock else _RUN, {"id_": run_id})).first()
    if row is None:
        return None
    return RunRow(
        row.run_id, RunState(row.state), _spec(row.document), row.slots, row.newest_version, row.next_sequence
    )


@lru_cache(maxsize=64)
def _spec(document: str) -> RunSpec:
    # Read with every ticket and batch, and it never changes.
    return RunSpec.model_validate_json(document)


async def update_run(connection: AsyncConnection, run_id: str, **values: object) -> None:
    """Set columns of a run."""
    await connection.execute(update(runs).where(runs.c.run_id == run_id).values(**values))


_STATES = select(runs.c.run_id, runs.c.state).where(runs.c.run_id.in_(bindparam("ids", expanding=True)))


def run_states(connection: Connection, run_ids: Iterable[str]) -> dict[str, RunState]:
    """State of each run that exists."""
    return {run_id: RunState(state) for run_id, state in connection.execute(_STATES, {"ids": sorted(run_ids)})}


async def insert_groups(connection: AsyncConnection, rows: list[dict[str, object]]) -> None:
    """New groups; `rows` name the columns that differ from an unpushed group's."""
    blank = {"kept": 0, "dropped": 0, "reward_sum": 0.0}
    await connection.execute(insert(groups), [blank | row for row in rows])


_OF_RUN = groups.c.run_id == bindparam("run")
_TRAIN = and_(_OF_RUN, groups.c.purpose == Purpose.TRAIN)
_EVAL = and_(_OF_RUN, groups.c.purpose == Purpose.EVAL)
_OF_REQUEST = (
    select(*_GROUP)
    .where(_OF_RUN, groups.c.request_id == bindparam("request"), groups.c.state == GroupState.OPEN)
    .order_by(groups.c.purpose, groups.c.sequence)
)


async def groups_of_request(connection: AsyncConnection, run_id: str, request_id: str) -> list[GroupRow]:
    """Groups that a ticket request was granted and that are still open, in order."""
    rows = await connection.execute(_OF_REQUEST, {"run": run_id, "request": request_id})
    return [_group(row) for row in rows]


_DUE = and_(groups.c.state == GroupState.OPEN, groups.c.expires_at < bindparam("now"))
_NUM_DUE = select(func.count()).where(_OF_RUN, _DUE)
_ENDS = (
    update(groups).where(_TRAIN, _DUE).values(state=GroupState.EXPIRED),
    update(groups).where(_EVAL, _DUE).values(state=GroupState.PLANNED),
)


async def expire_tickets(connection: AsyncConnection, run_id: str, now: datetime) -> int:
    """End open tickets whose time is over: train groups lose their slot, evaluation groups are planned again."""
    at = {"run": run_id, "now": now}
    if not (await connection.execute(_NUM_DUE, at)).scalar_one():
        return 0  # nearly always, and a look costs less than two updates of nothing
    return sum([(await connection.execute(ending, at)).rowcount for ending in _ENDS])


_HOLDING = select(func.count()).where(_TRAIN, groups.c.state.in_(HOLDS_SLOT))


async def num_holding_slots(connection: AsyncConnection, run_id: str) -> int:
    """Train groups that hold a slot."""
    return (await connection.execute(_HOLDING, {"run": run_id})).scalar_one()


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


_UNFINISHED = (
    select(groups.c.state, func.count(), func.min(groups.c.version))
    .where(_EVAL, groups.c.state.in_((GroupState.PLANNED, GroupState.OPEN)))
    .group_by(groups.c.state)
)


async def unfinished_evaluation(connection: AsyncConnection, run_id: str) -> PendingEvaluation:
    """What is left to play of a run's evaluations."""
    rows = await connection.execute(_UNFINISHED, {"run": run_id})
    found = {GroupState(state): (int(n), int(version)) for state, n, version in rows}
    planned, in_play = (found.get(state, (0, None))[0] for state in (GroupState.PLANNED, GroupState.OPEN))
    return PendingEvaluation(planned, in_play, min((version for _, version in found.values()), default=None))


async def open_groups(
    connection: AsyncConnection, group_ids: Sequence[str], request_id: str, expires_at: datetime
) -> None:
    """Give planned groups out on tickets."""
    values = {"state": GroupState.OPEN, "request_id": request_id, "expires_at": expires_at}
    await connection.execute(update(groups).where(groups.c.group_id.in_(group_ids)).values(**values))


_LOCKED_GROUPS = select(*_GROUP).where(groups.c.group_id.in_(bindparam("ids", expanding=True))).with_for_update()
_ONE_GROUP = select(*_GROUP).where(groups.c.group_id == bindparam("id_"))


def lock_groups(connection: Connection, group_ids: Iterable[str]) -> dict[str, GroupRow]:
    """Groups by id; nobody else changes them until the transaction ends."""
    return {row[0]: _group(row) for row in connection.execute(_LOCKED_GROUPS, {"ids": sorted(group_ids)})}


async def load_group(connection: AsyncConnection, group_id: str) -> GroupRow | None:
    """The group as it is now."""
    row = (await connection.execute(_ONE_GROUP, {"id_": group_id})).first()
    return None if row is None else _group(row)


def num_free_slots(connection: Connection, run_id: str) -> int:
    """Slots that no group holds; nobody else counts them until the transaction ends."""
    slots = connection.execute(select(runs.c.slots).where(runs.c.run_id == run_id).with_for_update()).scalar_one()
    return slots - connection.execute(_HOLDING, {"run": run_id}).scalar_one()


_TOLD = ("state", "pushed_at", "kept", "dropped", "min_version", "reward_sum", "reward_min", "reward_max")
_STORE = (
    update(groups)
    .where(groups.c.group_id == bindparam("id_"))
    .values({name: bindparam(name) for name in (*_TOLD, "truncated", "passed")})
    .values(judged=null())
)
_CONTENTS = insert(payloads)


def store_groups(connection: Connection, rows: list[dict[str, object]], contents: list[dict[str, object]]) -> None:
    """What pushes say of their groups (`id_` and the columns of `_STORE`), and the payloads."""
    connection.execute(_STORE, rows)
    connection.execute(_CONTENTS, contents)


_COUNTS = (
    select(groups.c.state, func.count(), func.sum(groups.c.kept), func.sum(groups.c.dropped))
    .where(_TRAIN)
    .group_by(groups.c.state)
)


async def count_groups(connection: AsyncConnection, run_id: str) -> dict[GroupState, tuple[int, int, int]]:
    """Train groups by state: (groups, kept trajectories, dropped trajectories)."""
    rows = await connection.execute(_COUNTS, {"run": run_id})
    return {GroupState(state): (number, int(kept), int(dropped)) for state, number, kept, dropped in rows}


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


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """A lease."""

    lease_id: str
    run_id: str
    state: LeaseState
    num_groups: int


async def insert_lease(
    connection: AsyncConnection,
    lease: LeaseRow,
    trainer_id: str,
    granted_at: datetime,
    expires_at: datetime,
    group_ids: Sequence[str],
) -> None:
    """A new active lease of these groups."""
    values = {"lease_id": lease.lease_id, "run_id": lease.run_id, "state": lease.state, "num_groups": lease.num_groups}
    times = {"granted_at": granted_at, "expires_at": expires_at}
    await connection.execute(insert(leases).values(**values, **times, trainer_id=trainer_id))
    taken = {"state": GroupState.LEASED, "lease_id": lease.lease_id}
    await connection.execute(update(groups).where(groups.c.group_id.in_(group_ids)).values(**taken))


async def rollout_window(connection: AsyncConnection, run_id: str, until: datetime) -> RolloutWindow:
    """The training groups pushed after the newest lease was granted, up to `until`."""
    granted = select(func.max(leases.c.granted_at)).where(leases.c.run_id == run_id)
    since = (await connection.execute(granted)).scalar()
    pushed = [groups.c.run_id == run_id, groups.c.purpose == Purpose.TRAIN, groups.c.pushed_at <= until]
    if since is not None:
        pushed.append(groups.c.pushed_at > since)
    flat = func.sum(case((groups.c.state == GroupState.FLAT, 1), else_=0))
    sums = select(func.count(), flat, func.sum(groups.c.kept), func.sum(groups.c.reward_sum)).where(*pushed)
    num_groups, num_flat, kept, reward_sum = (await connection.execute(sums)).one()
    return RolloutWindow(
        groups=num_groups,
        flat_groups=num_flat or 0,
        trajectories=kept or 0,
        mean_reward=reward_sum / kept if kept else None,
    )


async def load_lease(connection: AsyncConnection, lease_id: str) -> LeaseRow | None:
    """The lease, its row locked until the transaction ends."""
    row = (await connection.execute(select(leases).where(leases.c.lease_id == lease_id).with_for_update())).first()
    return None if row is None else LeaseRow(row.lease_id, row.run_id, LeaseState(row.state), row.num_groups)


async def update_lease(connection: AsyncConnection, lease_id: str, **values: object) -> None:
    """Set columns of a lease."""
    await connection.execute(update(leases).where(leases.c.lease_id == lease_id).values(**values))


async def expire_leases(connection: AsyncConnection, run_id: str, now: datetime) -> int:
    """End leases whose time is over; their groups wait again but still name the lease. Returns how many ended."""
    due = and_(leases.c.run_id == run_id, leases.c.state == LeaseState.ACTIVE, leases.c.expires_at < now)
    ids = list((await connection.execute(select(leases.c.lease_id).where(due))).scalars())
    if ids:
        await connection.execute(update(leases).where(leases.c.lease_id.in_(ids)).values(state=LeaseState.EXPIRED))
        held = and_(groups.c.lease_id.in_(ids), groups.c.state == GroupState.LEASED)
        await connection.execute(update(groups).where(held).values(state=GroupState.WAITING))
    return len(ids)


async def release_all(connection: AsyncConnection, run_id: str) -> None:
    """End the leases that nobody will end any more; their groups wait for ever, untrained."""
    held = select(leases.c.lease_id).where(leases.c.run_id == run_id, leases.c.state == LeaseState.ACTIVE)
    for lease_id in (await connection.execute(held)).scalars():
        await move_groups(connection, lease_id, state=GroupState.WAITING, lease_id=None)
        await update_lease(connection, lease_id, state=LeaseState.RELEASED)


async def num_of_lease(connection: AsyncConnection, lease_id: str) -> int:
    """Groups that still name this lease: fewer than it took when somebody else took one."""
    query = select(func.count()).where(groups.c.lease_id == lease_id)
    return (await connection.execute(query)).scalar_one()


async def move_groups(connection: AsyncConnection, of_lease: str, **values: object) -> None:
    """Set columns of all groups that name this lease."""
    await connection.execute(update(groups).where(groups.c.lease_id == of_lease).values(**values))


async def consume_acked(connection: AsyncConnection, run_id: str) -> None:
    """Free the slots of groups that were acked before this publish."""
    acked = and_(groups.c.run_id == run_id, groups.c.purpose == Purpose.TRAIN, groups.c.state == GroupState.ACKED)
    await connection.execute(update(groups).where(acked).values(state=GroupState.CONSUMED))


_WAITING = (
    select(groups.c.group_id, groups.c.kept, groups.c.min_version, groups.c.lease_id)
    .where(_TRAIN, groups.c.state == GroupState.WAITING)
    .order_by(groups.c.sequence)
)


async def waiting_groups(connection: AsyncConnection, run_id: str) -> list[Candidate]:
    """Trainable groups in sequence order; never more than there are slots."""
    rows = await connection.execute(_WAITING, {"run": run_id})
    return [Candidate(id_, kept, version, lease_id) for id_, kept, version, lease_id in rows]


_UNPUBLISHED = select(func.count(groups.c.lease_id.distinct())).where(
    _TRAIN, groups.c.state.in_((GroupState.LEASED, GroupState.ACKED))
)


async def num_unpublished(connection: AsyncConnection, run_id: str) -> int:
    """Batches that are leased or acked and not yet part of a published version."""
    return (await connection.execute(_UNPUBLISHED, {"run": run_id})).scalar_one()


async def mark_stale(connection: AsyncConnection, group_ids: Sequence[str]) -> None:
    """Refuse groups for their age; a lease that expired with one of them can no longer be published."""
    values = {"state": GroupState.STALE, "lease_id": None}
    await connection.execute(update(groups).where(groups.c.group_id.in_(group_ids)).values(**values))


async def load_payloads(connection: AsyncConnection, group_ids: Sequence[str]) -> dict[str, bytes]:
    """The stored JSON of each group."""
    query = select(payloads.c.group_id, payloads.c.payload).where(payloads.c.group_id.in_(group_ids))
    return {str(group_id): bytes(payload) for group_id, payload in await connection.execute(query)}
