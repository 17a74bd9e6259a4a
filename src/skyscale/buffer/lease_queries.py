"""SQL of leases and of the groups that wait for one, each in its caller's transaction.

Statements that run for every batch are `Prepared`; a run's row is locked by whoever takes or publishes one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import String, and_, bindparam, case, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.buffer.rules import Candidate, GroupState, LeaseState
from skyscale.store.prepared import Prepared
from skyscale.store.tables.buffer import buffer_groups as groups
from skyscale.store.tables.buffer import buffer_leases as leases
from skyscale.wire.batches import RolloutWindow
from skyscale.wire.episodes import Purpose

_TRAIN = and_(groups.c.run_id == bindparam("run"), groups.c.purpose == Purpose.TRAIN)
_NAMED = groups.c.group_id.in_(bindparam("ids", expanding=True))


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """A lease."""

    lease_id: str
    run_id: str
    state: LeaseState
    num_groups: int


_NEW_LEASE = Prepared(insert(leases), [column.name for column in leases.c])
_TAKE = Prepared(
    update(groups).where(_NAMED).values(state=GroupState.LEASED, lease_id=bindparam("lease", type_=String(80)))
)


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
    await _NEW_LEASE.change(connection, {**values, **times, "trainer_id": trainer_id})
    await _TAKE.change(connection, {"ids": list(group_ids), "lease": lease.lease_id})


_GRANTED = Prepared(select(func.max(leases.c.granted_at)).where(leases.c.run_id == bindparam("run")))
_FLAT = func.sum(case((groups.c.state == GroupState.FLAT, 1), else_=0))
_PUSHED = select(func.count(), _FLAT, func.sum(groups.c.kept), func.sum(groups.c.reward_sum)).where(
    _TRAIN, groups.c.pushed_at <= bindparam("until")
)
_WINDOW, _FIRST_WINDOW = Prepared(_PUSHED.where(groups.c.pushed_at > bindparam("since"))), Prepared(_PUSHED)


async def rollout_window(connection: AsyncConnection, run_id: str, until: datetime) -> RolloutWindow:
    """The training groups pushed after the newest lease was granted, up to `until`."""
    since = (await _GRANTED.all(connection, {"run": run_id}))[0][0]
    bounds: dict[str, object] = {"run": run_id, "until": until}
    if since is None:
        ((num_groups, num_flat, kept, reward_sum),) = await _FIRST_WINDOW.all(connection, bounds)
    else:
        ((num_groups, num_flat, kept, reward_sum),) = await _WINDOW.all(connection, bounds | {"since": since})
    return RolloutWindow(
        groups=num_groups,
        flat_groups=num_flat or 0,
        trajectories=kept or 0,
        mean_reward=reward_sum / kept if kept else None,
    )


_LEASE = Prepared(
    select(leases.c.lease_id, leases.c.run_id, leases.c.state, leases.c.num_groups)
    .where(leases.c.lease_id == bindparam("id_"))
    .with_for_update()
)


async def load_lease(connection: AsyncConnection, lease_id: str) -> LeaseRow | None:
    """The lease, its row locked until the transaction ends."""
    row = await _LEASE.first(connection, {"id_": lease_id})
    return None if row is None else LeaseRow(row[0], row[1], LeaseState(row[2]), row[3])


async def update_lease(connection: AsyncConnection, lease_id: str, **values: object) -> None:
    """Set columns of a lease."""
    await connection.execute(update(leases).where(leases.c.lease_id == lease_id).values(**values))


_DUE_LEASES = Prepared(
    select(leases.c.lease_id).where(
        leases.c.run_id == bindparam("run"),
        leases.c.state == LeaseState.ACTIVE,
        leases.c.expires_at < bindparam("now"),
    )
)


async def expire_leases(connection: AsyncConnection, run_id: str, now: datetime) -> int:
    """End leases whose time is over; their groups wait again but still name the lease. Returns how many ended."""
    ids = [lease_id for (lease_id,) in await _DUE_LEASES.all(connection, {"run": run_id, "now": now})]
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


_NUM_OF_LEASE = Prepared(select(func.count()).where(groups.c.lease_id == bindparam("id_")))


async def num_of_lease(connection: AsyncConnection, lease_id: str) -> int:
    """Groups that still name this lease: fewer than it took when somebody else took one."""
    return (await _NUM_OF_LEASE.all(connection, {"id_": lease_id}))[0][0]


async def move_groups(connection: AsyncConnection, of_lease: str, **values: object) -> None:
    """Set columns of all groups that name this lease."""
    await connection.execute(update(groups).where(groups.c.lease_id == of_lease).values(**values))


_CONSUME = Prepared(update(groups).where(_TRAIN, groups.c.state == GroupState.ACKED).values(state=GroupState.CONSUMED))


async def consume_acked(connection: AsyncConnection, run_id: str) -> None:
    """Free the slots of groups that were acked before this publish."""
    await _CONSUME.change(connection, {"run": run_id})


_WAITING = Prepared(
    select(groups.c.group_id, groups.c.kept, groups.c.min_version, groups.c.lease_id)
    .where(_TRAIN, groups.c.state == GroupState.WAITING)
    .order_by(groups.c.sequence)
)


async def waiting_groups(connection: AsyncConnection, run_id: str) -> list[Candidate]:
    """Trainable groups in sequence order; never more than there are slots."""
    rows = await _WAITING.all(connection, {"run": run_id})
    return [Candidate(id_, kept, version, lease_id) for id_, kept, version, lease_id in rows]


_UNPUBLISHED = Prepared(
    select(func.count(groups.c.lease_id.distinct())).where(
        _TRAIN, groups.c.state.in_((GroupState.LEASED, GroupState.ACKED))
    )
)


async def num_unpublished(connection: AsyncConnection, run_id: str) -> int:
    """Batches that are leased or acked and not yet part of a published version."""
    return (await _UNPUBLISHED.all(connection, {"run": run_id}))[0][0]


async def mark_stale(connection: AsyncConnection, group_ids: Sequence[str]) -> None:
    """Refuse groups for their age; a lease that expired with one of them can no longer be published."""
    values = {"state": GroupState.STALE, "lease_id": None}
    await connection.execute(update(groups).where(groups.c.group_id.in_(group_ids)).values(**values))
