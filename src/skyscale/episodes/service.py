"""Groups from the environment's side: tickets, verdicts for a group's programs, evaluations.

- A ticket is granted when the buffer has a slot; evaluation groups have a share of what is played, and name the version
  that plays them.
- The problem and the seed of a train group follow from the run's seed and the group's sequence number alone.
- `finish` judges a group and stores it in one call. Whoever judges with `step` pushes by himself: the rewards are
  remembered by the buffer and compared with what is pushed.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from skyscale.buffer.admission import Draw
from skyscale.buffer.parsing import check_id
from skyscale.buffer.queries import GroupRow, RunRow
from skyscale.buffer.rules import GroupState, RunState
from skyscale.buffer.service import BufferService
from skyscale.buffer.verdicts import key_of_program
from skyscale.buffer.wakeup import wait_for
from skyscale.episodes import rules
from skyscale.episodes.curriculum import Curricula
from skyscale.episodes.evaluations import Evaluations
from skyscale.episodes.finishing import judged_group
from skyscale.episodes.judging import Judging
from skyscale.episodes.prompts import messages_of
from skyscale.errors import Conflict, Gone
from skyscale.events.service import EventLog
from skyscale.problems.library import Library
from skyscale.store.engine import Database
from skyscale.telemetry import traces
from skyscale.telemetry.metrics import Metrics
from skyscale.telemetry.traces import Stage
from skyscale.wire.batches import GroupFinish, GroupFinished
from skyscale.wire.episodes import GroupTicket, GroupVerdicts, Outcome, Purpose, TicketReply, TicketRequest, Verdict
from skyscale.wire.problems import Problem
from skyscale.wire.runs import RunSpec

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

RETRY_AFTER_S = 0.5
"""How long a worker that got no ticket is asked to wait."""
TURNS_GRACE_S = 30.0
MAX_PLAYED = 20_000
"""Tickets whose run and problem are remembered, so that `finish` need not ask the database."""


@dataclass(frozen=True, slots=True)
class Played:
    """What never changes about a group that is on a ticket."""

    spec: RunSpec
    problem_id: str


class EpisodeService:
    """Tickets, group verdicts and evaluations of runs."""

    def __init__(
        self,
        database: Database,
        buffer: BufferService,
        judging: Judging,
        ticket_ttl_s: float,
        library: Library,
        events: EventLog,
        metrics: Metrics,
        note: Callable[[str, Sequence[str], Sequence[Verdict]], None] = lambda group_id, codes, verdicts: None,
    ) -> None:
        """`note` is told what was judged of a group (its id, the programs, their verdicts) and returns at once."""
        self._library = library
        self.curricula = Curricula(library, events, metrics)
        self._database = database
        self._note = note
        self._buffer = buffer
        self._judging = judging
        self._ticket_ttl_s = ticket_ttl_s
        self._played: OrderedDict[str, Played] = OrderedDict()
        self._num_judging = 0
        """Groups whose `finish` waits for the judge."""
        self.evaluations = Evaluations(database, buffer, library)

    async def tickets(self, request: TicketRequest) -> TicketReply:
        """Tickets that are free now, or as soon as one is within `wait_s`; none if the run has nothing to play.

        Raises:
            Gone: `run_closed`.
        """
        check_id("run_id", request.run_id)
        check_id("request_id", request.request_id)
        deadline = asyncio.get_running_loop().time() + request.wait_s
        began_ns = time.time_ns() if traces.recorder is not None else 0
        while True:
            bell = self._buffer.wakeup.slot_bell(request.run_id)
            run, granted = await self._database.write_at_once(lambda connection: self._admit(connection, request))
            if granted:
                self._remember(run, granted)
                if traces.recorder is not None:
                    _trace_tickets(traces.recorder, granted, began_ns)
                return TicketReply(groups=[self._ticket(run, group) for group in granted], retry_after_s=0.0)
            if not await wait_for(bell, deadline):
                return TicketReply(groups=[], retry_after_s=RETRY_AFTER_S)

    async def _admit(self, connection: "AsyncConnection", request: TicketRequest) -> tuple[RunRow, list[GroupRow]]:
        run = await self._buffer.load(connection, request.run_id, lock=True)
        if run.state == RunState.CLOSED:
            raise _closed(run.run_id)
        spec = run.spec
        ids = self._library.open(spec.problem_set).train_ids(spec.difficulty, allow_weak=spec.allow_weak_trust)
        choose = rules.draw if spec.curriculum is None else await self._pools(connection, run, len(ids))

        def draw(sequence: int) -> Draw:
            seed = rules.group_seed(spec.seed, Purpose.TRAIN, sequence)
            return Draw(choose(ids, spec.seed, sequence), seed)

        granted = await self._buffer.admission.admit(
            connection, run, request.request_id, request.num_groups, self._ttl_s(spec), draw
        )
        return run, granted

    async def _pools(
        self, connection: "AsyncConnection", run: RunRow, num_problems: int
    ) -> Callable[[tuple[str, ...], int, int], str]:
        assert run.spec.curriculum is not None
        pools = await self.curricula.update(connection, run.run_id, run.spec.curriculum)
        await self.curricula.tell(connection, pools, run.spec, run.newest_version, num_problems)
        return pools.draw

    def _ttl_s(self, spec: RunSpec) -> float:
        """Episodes of several turns have a time of their own, and so much more for the way to the push."""
        if spec.max_turns == 1 and spec.environment.kind == "code":
            return self._ticket_ttl_s
        return max(self._ticket_ttl_s, spec.environment.episode_timeout_s + TURNS_GRACE_S)

    def _ticket(self, run: RunRow, group: GroupRow) -> GroupTicket:
        spec = run.spec
        is_eval = group.purpose == Purpose.EVAL
        problem = self._library.open(spec.problem_set).get(group.problem_id)
        assert spec.sampling.max_new_tokens is not None, "a resolved spec has every default"
        assert group.expires_at is not None, "an open group has an end"
        return GroupTicket(
            group_id=group.group_id,
            problem_id=group.problem_id,
            messages=messages_of(problem),
            submission="text" if problem.style == "answer" else "code",
            group_size=spec.evaluation.samples_per_problem if is_eval else spec.algorithm.group_size,
            purpose=group.purpose,
            version=group.version,
            min_version=group.version if is_eval or spec.mode == "synchronous" else group.min_version or 0,
            seed=group.seed,
            temperature=spec.evaluation.temperature if is_eval else spec.sampling.temperature,
            max_new_tokens=spec.sampling.max_new_tokens,
            expires_in_s=max(0.0, (group.expires_at - datetime.now(UTC)).total_seconds()),
            environment=spec.environment.kind,
            max_turns=spec.max_turns,
        )

    async def step(self, group_id: str, codes: list[str]) -> GroupVerdicts:
        """Verdicts for the programs of a group that is being played.

        Raises:
            NotFound: `group_not_found`.
            Conflict: `group_not_open`, the group was pushed or its ticket expired.
            Gone: `run_closed`.
        """
        run, group = await self._buffer.ticket(group_id)
        if run.state == RunState.CLOSED:
            raise _closed(run.run_id)
        # A planned evaluation group was on a ticket that expired; its push is still wanted, so its verdicts are too.
        if group.state not in (GroupState.OPEN, GroupState.PLANNED, GroupState.EXPIRED):
            raise Conflict(f"group {group_id!r} was already pushed", code="group_not_open")
        problem = self._library.open(run.spec.problem_set).get(group.problem_id)
        verdicts = await self._judged(group_id, problem, codes, run.run_id)
        self._note(group_id, codes, verdicts)
        judged = zip(codes, verdicts, strict=True)
        await self._buffer.judged(
            group_id,
            {key_of_program(c): v.reward for c, v in judged if v.outcome != Outcome.INFRASTRUCTURE_FAILURE},
        )
        return GroupVerdicts(verdicts=verdicts)

    async def finish(self, group_id: str, group: GroupFinish) -> GroupFinished:
        """Judge the episodes of a group and store them; durable when it returns, and safe to repeat.

        Raises:
            NotFound: `group_not_found`.
            Conflict: `ticket_expired`, too late and its slot was given away.
            Gone: `run_closed`.
        """
        played = await self.played(group_id)
        problem = self._library.open(played.spec.problem_set).get(played.problem_id)
        codes = [episode.code for episode in group.episodes]
        self._num_judging += 1
        try:
            verdicts = await self._judged(group_id, problem, codes, played.spec.run_id)
        finally:
            self._num_judging -= 1
        self._note(group_id, codes, verdicts)
        judged = judged_group(played.spec.run_id, group_id, played.problem_id, group, verdicts)
        try:
            stored = await self._buffer.keep(judged, may_wait=self._num_judging > 0)
        except Conflict as error:
            if error.code == "run_closed":
                raise _closed(played.spec.run_id) from error
            raise
        kept = judged.push.trajectories
        return GroupFinished(
            rewards=[t.reward for t in kept], outcomes=[t.outcome for t in kept],
            accepted=stored.accepted, duplicates=stored.duplicates,
        )  # fmt: skip

    async def _judged(self, group_id: str, problem: Problem, codes: list[str], run_id: str) -> list[Verdict]:
        began_ns = time.time_ns() if traces.recorder is not None else 0
        verdicts = await self._judging.verdicts(problem, codes, run_id)
        if traces.recorder is not None:
            traces.recorder.record(Stage.JUDGE, group_id, began_ns, programs=len(codes))
        return verdicts

    async def played(self, group_id: str) -> "Played":
        """Whose group this is and what it is about. Raises NotFound."""
        known = self._played.get(group_id)
        if known is None:
            run, group = await self._buffer.ticket(group_id)
            known = Played(run.spec, group.problem_id)
        return known

    def _remember(self, run: RunRow, granted: list[GroupRow]) -> None:
        for group in granted:
            self._played[group.group_id] = Played(run.spec, group.problem_id)
        while len(self._played) > MAX_PLAYED:
            self._played.popitem(last=False)

    async def run_of(self, group_id: str) -> str:
        """The run that a group belongs to. Raises NotFound."""
        return (await self.played(group_id)).spec.run_id


def _trace_tickets(recorder: traces.Recorder, granted: list[GroupRow], began_ns: int) -> None:
    for group in granted:
        recorder.record(
            Stage.TICKET, group.group_id, began_ns, run_id=group.run_id, problem_id=group.problem_id,
            purpose=str(group.purpose), version=group.version,
        )  # fmt: skip


def _closed(run_id: str) -> Gone:
    return Gone(f"run {run_id!r} has ended: nothing more is played", code="run_closed")
