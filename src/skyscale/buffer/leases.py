"""Batches for a trainer: lease, extend, release, ack, publish; each in its caller's transaction.

- A batch is the oldest groups by ticket, as many as `rules.batch_size` says; in a synchronous run none while an
  evaluation is being played.
- The first call of a run's trainer opens the run: rollouts that nobody can train on yet would only grow stale.
- A lease that expired stays good until one of its groups goes elsewhere; from then on it is fenced (`lease_fenced`).
- Everything that ends a lease may be repeated.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from skyscale.buffer import lease_queries, queries, rules
from skyscale.buffer.lease_queries import LeaseRow
from skyscale.buffer.queries import RunRow
from skyscale.buffer.rules import LEASE_MOVES, Candidate, GroupState, LeaseState, RunState
from skyscale.errors import Conflict, Invalid, NotFound
from skyscale.events.service import EventLog
from skyscale.wire.base import new_id
from skyscale.wire.batches import RolloutWindow

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


class Leases:
    """The only writer of leases."""

    def __init__(self, events: EventLog, now: Callable[[], datetime]) -> None:
        self._events = events
        self._now = now

    async def take(
        self, connection: "AsyncConnection", run: RunRow, num_groups: int, lease_s: float, trainer_id: str
    ) -> tuple[str, list[Candidate], RolloutWindow] | int:
        """A lease of the next batch and what was pushed since the last one; else how many groups it lacks at least.

        The run's row is locked.

        Raises:
            Invalid: more groups than the run has slots, so there will never be enough.
        """
        if num_groups > run.slots:
            raise Invalid(f"num_groups: the run never holds more than {run.slots} groups at once")
        if run.state == RunState.PREPARING:
            await queries.update_run(connection, run.run_id, state=RunState.OPEN)
            return 1
        await self.expire(connection, run.run_id)
        if run.state != RunState.OPEN or await self._waits_for_evaluation(connection, run):
            return 1
        waiting = await lease_queries.waiting_groups(connection, run.run_id)
        if not waiting:
            return 1
        now = self._now()
        window = await lease_queries.rollout_window(connection, run.run_id, now)
        ahead = await lease_queries.num_unpublished(connection, run.run_id)
        choice = rules.choose(waiting, num_groups, run.spec, run.newest_version, ahead, window.flat_groups)
        granted = rules.num_missing(run.spec, num_groups, window.flat_groups, len(waiting))
        if choice.batch:
            lease = LeaseRow(new_id("lease"), run.run_id, LeaseState.ACTIVE, len(choice.batch))
            ids = [group.group_id for group in choice.batch]
            await lease_queries.insert_lease(connection, lease, trainer_id, now, now + timedelta(seconds=lease_s), ids)
            granted = lease.lease_id, choice.batch, window
        if choice.stale:
            await self._refuse_stale(connection, run, choice.stale)
        return granted

    async def _waits_for_evaluation(self, connection: "AsyncConnection", run: RunRow) -> bool:
        if run.spec.mode != "synchronous":
            return False
        return (await queries.unfinished_evaluation(connection, run.run_id)).version is not None

    async def _refuse_stale(self, connection: "AsyncConnection", run: RunRow, stale: list[Candidate]) -> None:
        await lease_queries.mark_stale(connection, [group.group_id for group in stale])
        limit = run.spec.algorithm.max_staleness
        await self._events.append(
            connection,
            run_id=run.run_id,
            component="buffer",
            level="warning",
            kind="buffer.stale",
            message=f"{len(stale)} groups were more than {limit} versions old when they would be trained on",
            data={"groups": len(stale), "newest_version": run.newest_version},
        )

    async def expire(self, connection: "AsyncConnection", run_id: str) -> int:
        """Return the groups of leases whose time is over; how many leases that were."""
        expired = await lease_queries.expire_leases(connection, run_id, self._now())
        if expired:
            await self._events.append(
                connection,
                run_id=run_id,
                component="buffer",
                level="warning",
                kind="buffer.lease_expired",
                message=f"{expired} leases ended without an ack: their groups wait again",
                data={"leases": expired},
            )
        return expired

    async def extend(self, connection: "AsyncConnection", run_id: str, lease_id: str, lease_s: float) -> None:
        """Set the end of a lease, from now; revives an expired one that is not fenced."""
        await self._move(connection, run_id, lease_id, LeaseState.ACTIVE, GroupState.LEASED)
        await lease_queries.update_lease(connection, lease_id, expires_at=self._now() + timedelta(seconds=lease_s))

    async def release(self, connection: "AsyncConnection", run_id: str, lease_id: str) -> None:
        """Give the groups back untrained."""
        lease = await self._load(connection, run_id, lease_id)
        if LeaseState.RELEASED not in LEASE_MOVES[lease.state]:
            raise _wrong_state(lease)
        if lease.state != LeaseState.RELEASED:
            await lease_queries.update_lease(connection, lease_id, state=LeaseState.RELEASED)
            await lease_queries.move_groups(connection, lease_id, state=GroupState.WAITING, lease_id=None)

    async def ack(self, connection: "AsyncConnection", run_id: str, lease_id: str) -> None:
        """Consume the groups; their slots are freed by the next publish."""
        await self._move(connection, run_id, lease_id, LeaseState.ACKED, GroupState.ACKED)

    async def publish(self, connection: "AsyncConnection", run_id: str, lease_ids: Sequence[str]) -> None:
        """Consume the groups of these leases and free all slots of consumed groups."""
        for lease_id in dict.fromkeys(lease_ids):
            await self._move(connection, run_id, lease_id, LeaseState.PUBLISHED, GroupState.CONSUMED)
        await lease_queries.consume_acked(connection, run_id)

    async def _move(
        self, connection: "AsyncConnection", run_id: str, lease_id: str, to: LeaseState, groups_to: GroupState
    ) -> None:
        lease = await self._load(connection, run_id, lease_id)
        if to not in LEASE_MOVES[lease.state]:
            raise _wrong_state(lease)
        if lease.state == LeaseState.PUBLISHED or lease.state == to:
            return
        if await lease_queries.num_of_lease(connection, lease_id) < lease.num_groups:
            raise Conflict(
                f"lease {lease_id!r} expired and its groups went to another",
                code="lease_fenced",
                hint="Drop what was computed from this lease and take a new one.",
            )
        await lease_queries.update_lease(connection, lease_id, state=to)
        await lease_queries.move_groups(connection, lease_id, state=groups_to)

    async def _load(self, connection: "AsyncConnection", run_id: str, lease_id: str) -> LeaseRow:
        lease = await lease_queries.load_lease(connection, lease_id)
        if lease is None or lease.run_id != run_id:
            raise NotFound(f"run {run_id!r} has no lease {lease_id!r}", code="lease_not_found")
        return lease


def _wrong_state(lease: LeaseRow) -> Conflict:
    return Conflict(
        f"lease {lease.lease_id!r} is {lease.state}", code="lease_fenced", hint="Take a new lease with `sample`."
    )
