"""The hot path: concurrent pushes become one transaction and one fsync (group commit).

- A reply is sent after the commit that holds its data; a push is stored entirely or refused entirely.
- Pushes that arrive while a transaction is being written wait together for the next one.
- A push waits for a timer only if its caller says that it may: a group that was judged while others are being judged.
  It does not when it completes a batch that somebody waits for.
- A refused push (unknown run, unknown ticket) fails alone; a failed transaction fails every push in it.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import orjson

from skyscale.buffer import judged_queries, queries, rules, single_queries, verdicts
from skyscale.buffer.parsing import ParsedGroup, ParsedPush
from skyscale.buffer.queries import GroupRow
from skyscale.buffer.rules import PUSHABLE, GroupState, RunState
from skyscale.buffer.wakeup import Wakeup
from skyscale.errors import Conflict, Invalid, NotFound, SkyscaleError, Unavailable
from skyscale.store.engine import Database
from skyscale.wire.base import new_id
from skyscale.wire.batches import PushReply, TrajectoryPush
from skyscale.wire.episodes import Purpose

if TYPE_CHECKING:
    from sqlalchemy import Connection

MAX_PUSHES = 256
"""Pushes in one transaction: bounds how long the write lock is held."""
DEADLINE_S = 30.0
COMPANY_S = 0.04
"""How long a push that may wait does so: a transaction costs hardly more for several than for one."""
COMPANY = 4
"""So many do not wait for more."""


@dataclass(slots=True)
class _Waiting:
    push: ParsedPush
    reply: asyncio.Future[PushReply]
    may_wait: bool


@dataclass(slots=True)
class _Plan:
    """All rows of one transaction, and what was seen on the way."""

    runs: dict[str, RunState]
    known: dict[str, GroupRow]
    singles: set[tuple[str, str]]
    room: dict[str, int]
    judged: dict[str, dict[str, float]]
    now: datetime
    groups: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    payloads: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    trajectories: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    stored: dict[str, rules.Summary] = field(default_factory=dict[str, rules.Summary])


class PushWriter:
    """Collects pushes and writes them down."""

    def __init__(self, database: Database, wakeup: Wakeup, now: Callable[[], datetime]) -> None:
        self._database = database
        self._wakeup = wakeup
        self._now = now
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def write(self, push: ParsedPush, *, may_wait: bool = False) -> PushReply:
        """Store the push; returns when it is on disk. With `may_wait` that may be `COMPANY_S` later."""
        reply: asyncio.Future[PushReply] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(push, reply, may_wait))
        self._arrived.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(), name="buffer-writer")
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await reply
        except TimeoutError as error:
            raise Unavailable("the database did not take the push in time") from error

    async def _drain(self) -> None:
        while self._waiting:
            await self._wait_for_company()
            batch, self._waiting = self._waiting[:MAX_PUSHES], self._waiting[MAX_PUSHES:]
            (outcome,) = await asyncio.gather(self._commit([w.push for w in batch]), return_exceptions=True)
            for index, waiting in enumerate(batch):
                if waiting.reply.done():
                    continue
                result = outcome if isinstance(outcome, BaseException) else outcome[index]
                if isinstance(result, PushReply):
                    waiting.reply.set_result(result)
                else:
                    waiting.reply.set_exception(result)

    async def _wait_for_company(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(COMPANY_S):
                while self._may_all_wait():
                    self._arrived.clear()
                    await self._arrived.wait()

    def _may_all_wait(self) -> bool:
        if len(self._waiting) >= COMPANY or not all(waiting.may_wait for waiting in self._waiting):
            return False
        arrived = Counter(group.push.run_id for waiting in self._waiting for group in waiting.push.groups)
        return all(number < self._wakeup.lacking(run_id) for run_id, number in arrived.items())

    async def _commit(self, pushes: list[ParsedPush]) -> list[PushReply | SkyscaleError]:
        now = self._now()
        results, plan = await self._database.transact(lambda connection: _write(connection, pushes, now))
        for run_id in {run_id for run_id, _ in plan.singles}:
            self._wakeup.ring(run_id)
        states: defaultdict[str, list[GroupState]] = defaultdict(list)
        for group_id, summary in plan.stored.items():
            states[plan.known[group_id].run_id].append(summary.state)
        for run_id, arrived in states.items():
            self._wakeup.pushed(run_id, arrived)
        return results


def _write(
    connection: "Connection", pushes: list[ParsedPush], now: datetime
) -> tuple[list[PushReply | SkyscaleError], _Plan]:
    """The outcome of each push, and what was written."""
    plan = _look(connection, pushes, now)
    results = [_attempt(plan, push) for push in pushes]
    if plan.groups:
        queries.store_groups(connection, plan.groups, plan.payloads)
    if plan.trajectories:
        single_queries.store_trajectories(connection, plan.trajectories)
    return results, plan


def _look(connection: "Connection", pushes: list[ParsedPush], now: datetime) -> _Plan:
    group_ids = {g.push.group_id for p in pushes for g in p.groups}
    singles = [p.trajectory for p in pushes if p.trajectory is not None]
    # By push and not by group: two pushes may name the same group, each under another run.
    runs = queries.run_states(connection, {run_id for p in pushes for run_id in p.run_ids()})
    known = queries.lock_groups(connection, group_ids) if group_ids else {}
    keys = [(t.run_id, t.trajectory_id) for t in singles if t.trajectory_id is not None]
    stored = single_queries.known_trajectories(connection, keys) if keys else set[tuple[str, str]]()
    # Slots are counted only when a push comes after its ticket expired, which is rare.
    late = {g.run_id for g in known.values() if g.state == GroupState.EXPIRED}
    room = {run_id: queries.num_free_slots(connection, run_id) for run_id in late}
    claimed = [g.push.group_id for p in pushes if p.has_own_rewards for g in p.groups]
    judged = judged_queries.judged_of(connection, claimed) if claimed else {}
    return _Plan(runs, known, stored, room, judged, now)


def _attempt(plan: _Plan, push: ParsedPush) -> PushReply | SkyscaleError:
    """Plan the rows of one push, or say why it is refused; a refusal leaves the plan as it was."""
    try:
        for group in push.groups:
            _check(plan, group)
            if push.has_own_rewards and group.push.group_id in plan.judged:
                verdicts.check(group.push, plan.judged[group.push.group_id])
        if push.trajectory is not None:
            _check_run(plan, push.trajectory.run_id)
    except SkyscaleError as error:
        return error
    if push.trajectory is not None:
        return _plan_trajectory(plan, push.trajectory)
    stored = [_plan_group(plan, group) for group in push.groups]
    sizes = [len(group.push.trajectories) for group in push.groups]
    accepted = sum(size for size, new in zip(sizes, stored, strict=True) if new)
    return PushReply(accepted=accepted, duplicates=sum(sizes) - accepted)


def _check_run(plan: _Plan, run_id: str) -> None:
    state = plan.runs.get(run_id)
    if state is None:
        raise NotFound(f"there is no run {run_id!r}", code="run_not_found")
    if state == RunState.CLOSED:
        raise Conflict(f"run {run_id!r} has ended and takes no more pushes", code="run_closed")


def _check(plan: _Plan, group: ParsedGroup) -> None:
    push = group.push
    _check_run(plan, push.run_id)
    known = plan.known.get(push.group_id)
    if known is None or known.run_id != push.run_id:
        raise Conflict(
            f"group_id: {push.group_id!r} is on no ticket of run {push.run_id!r}",
            code="unknown_ticket",
            hint="Ask POST /api/rl/env/tickets for groups to play, and push them under the ids it gives.",
        )
    if known.problem_id != push.problem_id:
        raise Invalid(f"problem_id: the ticket of {push.group_id!r} is for {known.problem_id!r}")
    if push.group_id in plan.stored or known.state != GroupState.EXPIRED:
        return
    if plan.room[push.run_id] < 1:
        raise Conflict(
            f"the ticket of {push.group_id!r} expired and its slot was given away",
            code="ticket_expired",
            hint="Drop the group and ask for a new ticket.",
        )


def _plan_group(plan: _Plan, group: ParsedGroup) -> bool:
    push, ticket = group.push, plan.known[group.push.group_id]
    if push.group_id in plan.stored or ticket.state not in PUSHABLE:
        return False
    summary = rules.classify(push.trajectories, ticket.version, is_eval=ticket.purpose == Purpose.EVAL)
    if ticket.state == GroupState.EXPIRED and summary.state == GroupState.WAITING:
        if plan.room[push.run_id] < 1:  # two late groups in one batch and one slot: the second is kept, not trained on
            summary = rules.too_late(summary)
        plan.room[push.run_id] -= 1
    plan.stored[push.group_id] = summary
    plan.groups.append(
        {
            "id_": push.group_id,
            "state": summary.state,
            "pushed_at": plan.now,
            "kept": summary.kept,
            "dropped": summary.dropped,
            "min_version": summary.min_version,
            "reward_sum": summary.reward_sum,
            "reward_min": summary.reward_min,
            "reward_max": summary.reward_max,
            "truncated": summary.truncated,
            "passed": summary.passed,
        }
    )
    plan.payloads.append({"group_id": push.group_id, "payload": group.payload})
    return True


def _plan_trajectory(plan: _Plan, push: TrajectoryPush) -> PushReply:
    trajectory_id = push.trajectory_id or new_id("tr")
    key = (push.run_id, trajectory_id)
    if key in plan.singles:
        return PushReply(accepted=0, duplicates=1)
    plan.singles.add(key)
    payload = orjson.dumps(push.model_dump(exclude={"trajectory_id", "run_id"}))
    row: dict[str, object] = {"trajectory_id": trajectory_id, "run_id": push.run_id, "payload": payload}
    plan.trajectories.append(row | {"consumed": False, "created_at": plan.now})
    return PushReply(accepted=1, duplicates=0)
