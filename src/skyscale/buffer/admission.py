"""Who may play a group now: slots for training, plans for evaluation; each in its caller's transaction.

- Train groups are admitted only while they and all others that hold a slot fit into the run's slots.
- Evaluation groups have a share of what is played while both are wanted (`rules.split`); in a synchronous run, and in
  one that trains no more, they go first and alone.
- A request that is repeated gets the tickets it already holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from skyscale.buffer import queries, rules
from skyscale.buffer.queries import GroupRow, RunRow
from skyscale.buffer.rules import GroupState, RunState
from skyscale.wire.base import new_id
from skyscale.wire.episodes import Purpose

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Draw:
    """What a group is about."""

    problem_id: str
    seed: int


class Admission:
    """The only maker of groups."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    async def admit(
        self,
        connection: "AsyncConnection",
        run: RunRow,
        request_id: str,
        num_groups: int,
        ttl_s: float,
        draw: Callable[[int], Draw],
    ) -> list[GroupRow]:
        """Groups that this request may play now: what it already holds, else what `rules.split` grants.

        The run's row is locked by the caller. `draw` tells what the train group of a sequence number is about.
        """
        held = await queries.groups_of_request(connection, run.run_id, request_id)
        if held:
            return held
        expires_at = self._now() + timedelta(seconds=ttl_s)
        await queries.expire_tickets(connection, run.run_id, self._now())
        pending = await queries.unfinished_evaluation(connection, run.run_id)
        room = holding = 0
        if run.state == RunState.OPEN:
            holding = await queries.num_holding_slots(connection, run.run_id)
            room = rules.train_room(run.spec, run.slots, holding, run.newest_version, pending.version)
        cap = rules.evaluation_cap(run.spec)
        share = rules.split(num_groups, planned=pending.planned, in_play=pending.in_play, cap=cap, room=room)
        if share.evaluation:
            planned = await queries.planned_evaluations(connection, run.run_id, share.evaluation)
            await queries.open_groups(connection, planned, request_id, expires_at)
        if share.train:
            ticket: dict[str, object] = {
                "version": run.newest_version,
                "request_id": request_id,
                "expires_at": expires_at,
            }
            sequences = range(run.next_sequence, run.next_sequence + share.train)
            oldest = [rules.oldest_sampler(run.spec, run.newest_version, holding + i) for i in range(share.train)]
            rows = [_named(s, draw(s)) | {"min_version": v} for s, v in zip(sequences, oldest, strict=True)]
            common = {"run_id": run.run_id, "purpose": Purpose.TRAIN, "state": GroupState.OPEN} | ticket
            await queries.insert_groups(connection, [common | row for row in rows])
            await queries.advance(connection, run.run_id, sequences.stop)
        if not share.evaluation and not share.train:
            return []
        return await queries.groups_of_request(connection, run.run_id, request_id)

    async def plan_evaluation(
        self, connection: "AsyncConnection", run_id: str, version: int, draws: Sequence[Draw]
    ) -> None:
        """Groups to be played beside training; a version is planned once."""
        if not draws or await queries.count_evaluations(connection, run_id, version):
            return
        common = {"run_id": run_id, "purpose": Purpose.EVAL, "state": GroupState.PLANNED, "version": version}
        await queries.insert_groups(connection, [common | _named(i, drawing) for i, drawing in enumerate(draws)])


def _named(sequence: int, drawing: Draw) -> dict[str, object]:
    return {
        "group_id": new_id("grp"),
        "sequence": sequence,
        "problem_id": drawing.problem_id,
        "seed": drawing.seed,
    }
