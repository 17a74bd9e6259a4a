"""Groups that are played by turns: open, turn, turn, ... close.

    code          open is not needed; a turn judges programs, and tells of a failure what the examples showed
    reward_file   open is not needed; the only turn scores the answers
    python, http  open begins the episodes in a session (`sessions.py`), a turn steps it

- What was judged is remembered per episode and compared with what is pushed, as for groups of one turn.
- Trouble of a run's own environment is an infrastructure failure of those episodes and an event (`troubles.py`).
"""

import time
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from skyscale.buffer.queries import GroupRow, RunRow
from skyscale.buffer.rules import GroupState, RunState
from skyscale.envs.environment import TOLERANCE, Stepped, Task, clipped
from skyscale.envs.feedback import brief_feedback, examples_of, feedback_of
from skyscale.episodes.prompts import messages_of
from skyscale.errors import Conflict, EnvironmentFailure, Gone, Invalid, NotFound
from skyscale.telemetry import traces
from skyscale.telemetry.traces import Stage
from skyscale.wire.episodes import Outcome, Purpose, Verdict
from skyscale.wire.problems import Problem
from skyscale.wire.turns import Action, GroupOpening, GroupTurn, GroupTurnReply, TurnResult

if TYPE_CHECKING:
    from skyscale.buffer.service import BufferService
    from skyscale.envs.environments import Environments
    from skyscale.episodes.judging import Judging
    from skyscale.episodes.sessions import Sessions
    from skyscale.episodes.troubles import Troubles
    from skyscale.problems.library import Library
    from skyscale.wire.runs import RunSpec


class TurnService:
    """What a worker asks of groups that take more than one program."""

    def __init__(
        self,
        buffer: "BufferService",
        judging: "Judging",
        environments: "Environments",
        sessions: "Sessions",
        troubles: "Troubles",
        library: "Library",
        note_verdicts: Callable[[str, Sequence[str], Sequence[Verdict]], None] = lambda group_id, codes, verdicts: None,
    ) -> None:
        """`note_verdicts` is told what was judged (group id, programs, verdicts) and returns at once."""
        self._note_verdicts = note_verdicts
        self._library = library
        self._buffer = buffer
        self._judging = judging
        self._environments = environments
        self._sessions = sessions
        self._troubles = troubles

    async def check(self, spec: "RunSpec") -> None:
        """Try a run's environment on one of its problems. Raises Invalid."""
        if spec.environment.kind == "code":
            return
        try:
            problems = self._library.open(spec.problem_set)
        except (NotFound, OSError, UnicodeError):
            return  # refused for that reason elsewhere
        ids = problems.train_ids(spec.difficulty, allow_weak=spec.allow_weak_trust)
        if ids:
            await self._environments.check(spec.environment, task_of(problems.get(ids[0]), spec.seed, Purpose.TRAIN))

    async def open(self, group_id: str) -> GroupOpening:
        """The messages that all episodes of a group begin with; asked again before its first turn, the same.

        Raises:
            NotFound, Conflict, Gone: there is no such group, or it is not played any more.
            EnvironmentFailure: the environment cannot begin it. TooMany: later.
        """
        run, group = await self._playable(group_id)
        spec, environment = run.spec, run.spec.environment
        problem = self._library.open(spec.problem_set).get(group.problem_id)
        if environment.kind == "code" or environment.kind == "reward_file":
            return GroupOpening(messages=messages_of(problem))
        is_eval = group.purpose == Purpose.EVAL
        num_episodes = spec.evaluation.samples_per_problem if is_eval else spec.algorithm.group_size
        try:
            opening = await self._sessions.open(
                group_id,
                lambda: self._environments.session(environment, group_id),
                task_of(problem, group.seed, group.purpose),
                num_episodes,
                environment.episode_timeout_s,
            )
        except EnvironmentFailure as failure:
            await self._troubles.note(run.run_id, group_id, failure.detail, num_episodes, is_whole=True)
            raise
        return GroupOpening(messages=opening)

    async def turn(self, group_id: str, body: GroupTurn) -> GroupTurnReply:
        """What came of these episodes' answers.

        Raises:
            NotFound, Conflict, Gone: as `open`, or `session_lost`. Invalid: more turns than the run allows.
        """
        run, group = await self._playable(group_id)
        if body.turn >= run.spec.max_turns:
            raise Invalid(f"turn: episodes of this run have at most {run.spec.max_turns} turns")
        problem = self._library.open(run.spec.problem_set).get(group.problem_id)
        began_ns = time.time_ns() if traces.recorder is not None else 0
        if run.spec.environment.kind == "code":
            results = await self._judged(run, group, problem, body)
        else:
            results = await self._stepped(run, group, problem, body)
        if traces.recorder is not None:
            traces.recorder.record(Stage.JUDGE, group_id, began_ns, programs=len(body.actions), turn=body.turn)
        await self._buffer.judged(
            group_id,
            {
                f"{group_id}.{r.episode}": r.episode_reward
                for r in results
                if r.outcome != Outcome.INFRASTRUCTURE_FAILURE
            },
        )
        return GroupTurnReply(results=results)

    async def close(self, group_id: str) -> None:
        """End what is held for a group; ending it again changes nothing."""
        await self._sessions.close(group_id)

    async def fatal(self, run_id: str) -> str | None:
        """Why the run's environment leaves it no future, if so, whichever control plane found out."""
        return await self._buffer.hopeless(run_id)

    async def stop(self) -> None:
        """End every session, and the connections to services."""
        await self._sessions.stop()
        await self._environments.close()

    async def _playable(self, group_id: str) -> tuple[RunRow, GroupRow]:
        run, group = await self._buffer.ticket(group_id)
        if run.state == RunState.CLOSED:
            raise Gone(f"run {run.run_id!r} has ended: nothing more is played", code="run_closed")
        if group.state not in (GroupState.OPEN, GroupState.PLANNED, GroupState.EXPIRED):
            raise Conflict(f"group {group_id!r} was already pushed", code="group_not_open")
        return run, group

    async def _judged(self, run: RunRow, group: GroupRow, problem: Problem, body: GroupTurn) -> list[TurnResult]:
        codes = [action.code for action in body.actions]
        verdicts = await self._judging.verdicts(problem, codes, run.run_id)
        self._note_verdicts(group.group_id, codes, verdicts)
        is_last = body.turn + 1 >= run.spec.max_turns
        ended = [v.done or is_last or a.is_truncated for a, v in zip(body.actions, verdicts, strict=True)]
        feedback = await self._feedback(
            run, problem, [a.code for a, e in zip(body.actions, ended, strict=True) if not e]
        )
        return [
            _judged_result(action, verdict, None if is_over else feedback[action.code])
            for action, verdict, is_over in zip(body.actions, verdicts, ended, strict=True)
        ]

    async def _feedback(self, run: RunRow, problem: Problem, codes: list[str]) -> dict[str, str]:
        """The next message for each program that failed."""
        environment, examples = run.spec.environment, examples_of(problem)
        assert environment.kind == "code", "only programs are told what their examples showed"
        if environment.feedback == "brief":
            return dict.fromkeys(codes, brief_feedback(problem, repeat_prompt=environment.repeat_prompt))
        shown: list[Verdict] = []
        if examples and codes:
            shown = await self._judging.verdicts(examples, codes, run.run_id)
        known = {c: v for c, v in zip(codes, shown, strict=False) if v.outcome != Outcome.INFRASTRUCTURE_FAILURE}
        return {
            code: feedback_of(
                problem,
                known.get(code),
                max_chars=environment.max_observation_chars,
                repeat_prompt=environment.repeat_prompt,
            )
            for code in codes
        }

    async def _stepped(self, run: RunRow, group: GroupRow, problem: Problem, body: GroupTurn) -> list[TurnResult]:
        environment = run.spec.environment
        count, began = len(body.actions), perf_counter()
        try:
            if environment.kind == "reward_file":
                task = task_of(problem, group.seed, group.purpose)
                steps = await self._environments.scores(environment, task, [action.text for action in body.actions])
                totals = [step.reward for step in steps]
            else:
                steps, totals = await self._sessions.step(group.group_id, body, run.spec.max_turns)
        except EnvironmentFailure as failure:
            steps, totals = [Stepped(trouble=failure.detail)] * count, [0.0] * count
        if environment.kind != "http":  # somebody else's machine
            self._judging.spent(run.run_id, perf_counter() - began)
        is_last = body.turn + 1 >= run.spec.max_turns
        results = [
            _stepped_result(*parts, is_last=is_last, limit=environment.max_observation_chars)
            for parts in zip(body.actions, steps, totals, strict=True)
        ]
        await self._note(run.run_id, group.group_id, results)
        return results

    async def _note(self, run_id: str, group_id: str, results: list[TurnResult]) -> None:
        bad = [r for r in results if r.outcome == Outcome.INFRASTRUCTURE_FAILURE]
        if len(bad) < len(results):
            self._troubles.fine(run_id)
        if bad:
            is_whole = len(bad) == len(results)
            await self._troubles.note(run_id, group_id, bad[0].observation, len(bad), is_whole=is_whole)


def task_of(problem: Problem, seed: int, purpose: str) -> Task:
    """What a run's own environment is told of a problem: all of it, the tests and solutions included."""
    return {**problem.model_dump(mode="json"), "seed": seed, "purpose": str(purpose)}


def _judged_result(action: Action, verdict: Verdict, feedback: str | None) -> TurnResult:
    is_cut = action.is_truncated and verdict.outcome == Outcome.SCORED
    return TurnResult(
        episode=action.episode,
        reward=verdict.reward,
        episode_reward=verdict.reward,
        done=feedback is None or verdict.outcome == Outcome.INFRASTRUCTURE_FAILURE,
        outcome=Outcome.TRUNCATED if is_cut else verdict.outcome,
        observation=feedback or "",
        passed_tests=verdict.passed_tests,
        total_tests=verdict.total_tests,
        parts={},
    )


def _stepped_result(action: Action, step: Stepped, total: float, *, is_last: bool, limit: int) -> TurnResult:
    trouble = step.trouble
    if not trouble and total > 1 + TOLERANCE:
        trouble = f"the rewards of an episode add up to {total:g}, which is more than 1"
    is_over = step.done or bool(trouble) or is_last or action.is_truncated
    outcome = Outcome.SCORED if step.done and not action.is_truncated else Outcome.TRUNCATED
    return TurnResult(
        episode=action.episode,
        reward=0.0 if trouble else step.reward,
        episode_reward=0.0 if trouble else min(1.0, total),
        done=is_over,
        outcome=Outcome.INFRASTRUCTURE_FAILURE if trouble else outcome if is_over else Outcome.SCORED,
        observation=trouble or ("" if is_over else clipped(step.observation, limit)),
        passed_tests=0,
        total_tests=0,
        parts=step.parts,
    )
