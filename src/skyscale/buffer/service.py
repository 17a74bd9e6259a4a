"""The buffer as other rooms and the API see it.

- A method with a `connection` takes part in its caller's transaction; the others are one transaction each.
- Whoever counts slots holds the lock of the run's row, so slots are never given twice.
- Waiting calls (`sample` with `wait_s`) are woken by commits of this process and poll for those of others.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import orjson

from skyscale.buffer import judged_queries, lease_queries, queries, rules, single_queries
from skyscale.buffer.admission import Admission
from skyscale.buffer.leases import Leases
from skyscale.buffer.parsing import ParsedGroup, ParsedPush, check_id, parse_push
from skyscale.buffer.queries import EvaluationCount, GroupRow, RunRow
from skyscale.buffer.rules import GroupState, RunState
from skyscale.buffer.tally_queries import Tally
from skyscale.buffer.wakeup import Wakeup, wait_for
from skyscale.buffer.writer import PushWriter
from skyscale.errors import Invalid, NotFound
from skyscale.events.service import EventLog
from skyscale.store.engine import Database
from skyscale.telemetry import traces
from skyscale.telemetry.traces import Stage
from skyscale.wire.base import utc_now
from skyscale.wire.batches import BufferStats, LeaseRequest, PushReply, RolloutWindow, SampleRequest
from skyscale.wire.runs import RunSpec

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from skyscale.buffer.admission import Draw


GATHER_S = 0.01
"""A waiting `sample` looks again this long after a push: pushes come in bursts, and each look is a transaction."""


class BufferService:
    """The only writer of groups, slots and leases."""

    def __init__(self, database: Database, events: EventLog, now: Callable[[], datetime] = utc_now) -> None:
        self.handed_out: Callable[[str, int], None] = lambda run_id, trajectories: None
        """Called when trajectories of a run went to a trainer."""
        self.wakeup = Wakeup()
        self._database = database
        self._now = now
        self.admission = Admission(now)
        self._leases = Leases(events, now)
        self._writer = PushWriter(database, self.wakeup, now)
        self._tally = Tally()

    async def open(self, connection: "AsyncConnection", spec: RunSpec, *, is_prepared: bool = True) -> None:
        """Let a new run play; unless it is prepared, from the first time that its trainer asks for a batch.

        A run that only evaluates never trains.
        """
        state = RunState.OPEN if is_prepared else RunState.PREPARING
        if spec.mode == "evaluate":
            state = RunState.FINISHING
        await queries.insert_run(connection, spec, rules.num_slots(spec), state)

    async def stop_training(self, connection: "AsyncConnection", run_id: str) -> None:
        """No more train tickets and batches; evaluation goes on. A closed run stays closed."""
        run = await self.load(connection, run_id, lock=True)
        if run.state in (RunState.PREPARING, RunState.OPEN):
            await queries.update_run(connection, run_id, state=RunState.FINISHING)
        self._ring(connection, run_id)

    async def close(self, connection: "AsyncConnection", run_id: str) -> None:
        """Refuse everything from now on, and end every lease; what is stored can still be read."""
        await self.load(connection, run_id, lock=True)
        await queries.update_run(connection, run_id, state=RunState.CLOSED)
        await lease_queries.release_all(connection, run_id)
        self._ring(connection, run_id)

    async def published(
        self, connection: "AsyncConnection", run_id: str, version: int, lease_ids: Sequence[str]
    ) -> None:
        """A version was published that consumed these leases: ack them and free their slots. May be repeated.

        Raises:
            Conflict: `lease_fenced`, a group of a lease has gone to another meanwhile.
        """
        run = await self.load(connection, run_id, lock=True)
        await self._leases.publish(connection, run_id, lease_ids)
        if version > run.newest_version:
            await queries.update_run(connection, run_id, newest_version=version)
        self._ring(connection, run_id)

    async def push(self, body: bytes) -> PushReply:
        """Store what `POST /api/rl/buffer/push` carries; it is on disk when this returns."""
        return await self.store(parse_push(body))

    async def store(self, push: ParsedPush) -> PushReply:
        """Store a parsed push; rewards are compared with what was judged."""
        return await self._write(push)

    async def keep(self, group: ParsedGroup, *, may_wait: bool = False) -> PushReply:
        """Store a group whose rewards come from the judge itself; with `may_wait`, together with the next ones."""
        return await self._write(ParsedPush(groups=[group], has_own_rewards=False), may_wait=may_wait)

    async def _write(self, push: ParsedPush, *, may_wait: bool = False) -> PushReply:
        if traces.recorder is None:
            return await self._writer.write(push, may_wait=may_wait)
        began_ns = time.time_ns()
        reply = await self._writer.write(push, may_wait=may_wait)
        for group in push.groups:
            id_, num = group.push.group_id, len(group.push.trajectories)
            traces.recorder.record(Stage.PUSH, id_, began_ns, trajectories=num)
        return reply

    async def judged(self, group_id: str, rewards: Mapping[str, float]) -> None:
        """Keep what was judged of a group, by `verdicts.key_of_program` or episode; a later verdict counts."""
        if rewards:
            await self._database.write_at_once(
                lambda connection: judged_queries.add_judged(connection, group_id, rewards)
            )

    async def give_up(self, run_id: str, reason: str, since: datetime) -> None:
        """Note that nothing more can be played, unless a group with an episode to learn from was pushed since then."""
        async with self._database.write() as connection:
            await judged_queries.give_up(connection, run_id, reason, since)

    async def hopeless(self, run_id: str) -> str | None:
        """Why nothing more can be played, if so."""
        return await self._database.read_at_once(lambda connection: judged_queries.hopeless(connection, run_id))

    async def sample(self, request: SampleRequest) -> bytes:
        """The JSON of a `SampleReply`; stored JSON is passed on as it was stored.

        Raises:
            Invalid: one of `lease_s` and `num_groups` without the other.
        """
        check_id("run_id", request.run_id)
        if (request.lease_s is None) != (request.num_groups is None):
            raise Invalid("num_groups and lease_s: give both for a lease, or neither")
        deadline = asyncio.get_running_loop().time() + request.wait_s
        while True:
            bell = self.wakeup.batch_bell(request.run_id)
            reply = await self._database.write_at_once(lambda connection: self._sample(connection, request))
            if isinstance(reply, bytes):
                return reply
            bell.missing += reply - 1
            if not await wait_for(bell, deadline):
                return _batch_json(None, [], 0)
            await asyncio.sleep(GATHER_S)

    async def _sample(self, connection: "AsyncConnection", request: SampleRequest) -> bytes | int:
        """The reply, or how many groups it lacks at least."""
        run = await self.load(connection, request.run_id, lock=True)
        if request.num_groups is None or request.lease_s is None:
            rows = await single_queries.take_trajectories(connection, request.run_id, request.batch_size)
            self._database.after_commit(connection, lambda: self.handed_out(run.run_id, len(rows)))
            if rows or request.wait_s == 0 or run.state != RunState.OPEN:
                return _trajectories_json(request.run_id, rows)
            return 1
        taken = await self._leases.take(connection, run, request.num_groups, request.lease_s, request.trainer_id)
        if isinstance(taken, int):
            if run.state == RunState.PREPARING:
                self._ring(connection, run.run_id)
            return taken if run.state in (RunState.PREPARING, RunState.OPEN) else _batch_json(None, [], 0)
        lease_id, batch, window = taken
        num_episodes = sum(group.kept for group in batch)
        self._database.after_commit(connection, lambda: self.handed_out(run.run_id, num_episodes))
        payloads = await queries.load_payloads(connection, [group.group_id for group in batch])
        groups = [payloads[group.group_id] for group in batch]
        return _batch_json(lease_id, groups, num_episodes, window)

    async def ack(self, request: LeaseRequest) -> None:
        """Consume a lease without publishing yet."""
        async with self._database.write() as connection:
            await self._leases.ack(connection, request.run_id, request.lease_id)

    async def release(self, request: LeaseRequest) -> None:
        """Return a lease's groups to the queue."""
        async with self._database.write() as connection:
            await self._leases.release(connection, request.run_id, request.lease_id)
            self._ring(connection, request.run_id)

    async def extend(self, request: LeaseRequest) -> None:
        """Keep a lease for `lease_s` from now."""
        async with self._database.write() as connection:
            await self._leases.extend(connection, request.run_id, request.lease_id, request.lease_s)

    async def stats(self, run_id: str) -> BufferStats:
        """Trajectories of a run by what became of them."""
        check_id("run_id", run_id)

        async def look(connection: "AsyncConnection"):
            run = await self.load(connection, run_id)
            counts = await self._tally.count(connection, run_id)
            return run, counts, await single_queries.count_trajectories(connection, run_id)

        run, counts, (unsampled, sampled) = await self._database.read_at_once(look)
        kept = {state: counts.get(state, (0, 0, 0))[1] for state in GroupState}
        pushed = sum(kept + dropped for _, kept, dropped in counts.values())
        return BufferStats(
            run_id=run_id,
            size=kept[GroupState.WAITING] + unsampled,
            leased=kept[GroupState.LEASED],
            consumed=kept[GroupState.ACKED] + kept[GroupState.CONSUMED] + sampled,
            flat=kept[GroupState.FLAT],
            stale=kept[GroupState.STALE],
            failed=kept[GroupState.FAILED] + sum(dropped for _, _, dropped in counts.values()),
            groups_in_play=counts.get(GroupState.OPEN, (0, 0, 0))[0],
            slots=run.slots,
            pushed=pushed + unsampled + sampled,
        )

    async def recent_reward(self, run_id: str, now: datetime) -> float | None:
        """Mean reward of what was pushed for training since the last batch was leased; None if nothing was."""
        async with self._database.read() as connection:
            return (await lease_queries.rollout_window(connection, run_id, now)).mean_reward

    async def load(self, connection: "AsyncConnection", run_id: str, *, lock: bool = False) -> RunRow:
        """The run; with `lock` nobody else counts its slots until the transaction ends.

        Raises:
            NotFound: `run_not_found`.
        """
        run = await queries.load_run(connection, run_id, lock=lock)
        if run is None:
            raise NotFound(f"there is no run {run_id!r}", code="run_not_found")
        return run

    async def ticket(self, group_id: str) -> tuple[RunRow, GroupRow]:
        """A group and its run, as they are now.

        Raises:
            NotFound: `group_not_found`.
        """
        check_id("group_id", group_id)
        async with self._database.read() as connection:
            group = await queries.load_group(connection, group_id)
            if group is None:
                raise NotFound(f"there is no group {group_id!r}", code="group_not_found")
            return await self.load(connection, group.run_id), group

    async def plan_evaluation(
        self, connection: "AsyncConnection", run_id: str, version: int, draws: "Sequence[Draw]"
    ) -> None:
        """Groups of held-out problems to be played beside training; a version is planned once."""
        await self.admission.plan_evaluation(connection, run_id, version, draws)
        self._ring(connection, run_id)

    async def evaluation_counts(
        self, connection: "AsyncConnection", run_id: str, version: int | None = None
    ) -> list[EvaluationCount]:
        """The evaluations of a run (or the one of a version), finished or not, by version."""
        return await queries.count_evaluations(connection, run_id, version)

    def _ring(self, connection: "AsyncConnection", run_id: str) -> None:
        self._database.after_commit(connection, lambda: self.wakeup.ring(run_id))


def _batch_json(lease_id: str | None, groups: list[bytes], count: int, window: RolloutWindow | None = None) -> bytes:
    rollouts = b"null" if window is None else window.model_dump_json().encode()
    head = b'{"trajectories":[],"count":%d,"lease_id":%s,"rollouts":%s,' % (count, orjson.dumps(lease_id), rollouts)
    return head + b'"groups":[' + b",".join(groups) + b"]}"


def _trajectories_json(run_id: str, rows: list[tuple[str, bytes, datetime]]) -> bytes:
    listed = [
        {"id": id_, "run_id": run_id, **orjson.loads(payload), "created_at": created_at}
        for id_, payload, created_at in rows
    ]
    return orjson.dumps({"trajectories": listed, "count": len(listed), "lease_id": None, "groups": []})
