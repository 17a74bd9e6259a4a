"""Evaluations: which held-out problems a version is to play, and what came of it.

A finished evaluation never changes, so its result is worked out once and remembered.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING

import orjson

from skyscale.buffer.admission import Draw
from skyscale.buffer.parsing import check_id
from skyscale.buffer.queries import EvaluationCount
from skyscale.buffer.service import BufferService
from skyscale.envs.registry import ProblemRef, heldout_refs
from skyscale.episodes import queries, rules, scoring
from skyscale.episodes.queries import EvaluatedProblem
from skyscale.episodes.scoring import Tally
from skyscale.errors import Invalid, SkyscaleError
from skyscale.problems.library import Library
from skyscale.store.engine import Database
from skyscale.wire.episodes import Purpose
from skyscale.wire.runs import EvaluationResult, RunSpec

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

MAX_RESULTS = 4096


class Evaluations:
    """Asks for evaluations and sums them up."""

    def __init__(self, database: Database, buffer: BufferService, library: Library) -> None:
        self._library = library
        self._database = database
        self._buffer = buffer
        self._results: OrderedDict[tuple[str, int], EvaluationResult] = OrderedDict()

    async def request(self, connection: "AsyncConnection", spec: RunSpec, version: int) -> None:
        """Have the held-out problems played by this version; asking again changes nothing."""
        if spec.evaluation.num_problems == 0:
            return
        heldout = heldout_refs(self._library.open(spec.problem_set))
        if not heldout:
            raise Invalid(
                f"problem set {spec.problem_set!r} has no held-out problems: set evaluation.num_problems to 0"
            )
        chosen = rules.heldout_sample(heldout, spec.seed, spec.evaluation.num_problems)
        draws = [Draw(p.id, rules.group_seed(spec.seed, Purpose.EVAL, i)) for i, p in enumerate(chosen)]
        await self._buffer.plan_evaluation(connection, spec.run_id, version, draws)

    async def result(self, connection: "AsyncConnection", run_id: str, version: int) -> EvaluationResult | None:
        """The result for a version, once all its groups are in."""
        counts = await self._buffer.evaluation_counts(connection, run_id, version)
        return await self._result(connection, run_id, counts[0]) if counts else None

    async def results(self, connection: "AsyncConnection", run_id: str) -> list[EvaluationResult]:
        """All finished evaluations, by version."""
        counts = await self._buffer.evaluation_counts(connection, run_id)
        results = [await self._result(connection, run_id, count) for count in counts]
        return [result for result in results if result is not None]

    async def samples(self, run_id: str, version: int) -> list[dict[str, object]]:
        """What the model answered: `problem_id`, `text`, `code`, `reward`, `turn_rewards` of each kept episode."""
        check_id("run_id", run_id)
        async with self._database.read() as connection:
            await self._buffer.load(connection, run_id)
            payloads = await queries.evaluation_payloads(connection, run_id, version)
        return [
            {
                "problem_id": group["problem_id"],
                "text": t.get("text", ""),
                "code": t["code"],
                "reward": t["reward"],
                "turn_rewards": [turn["reward"] for turn in t.get("turns", [])],
            }
            for group in map(orjson.loads, payloads)
            for t in group["trajectories"]
        ]

    async def _result(
        self, connection: "AsyncConnection", run_id: str, count: EvaluationCount
    ) -> EvaluationResult | None:
        if count.num_done < count.num_groups or count.last_push is None:
            return None
        known = self._results.get((run_id, count.version))
        if known is not None:
            return known
        spec = (await self._buffer.load(connection, run_id)).spec
        problems = await queries.evaluated_problems(connection, run_id, count.version)
        tallies = _tallies(_kinds(self._library, spec), problems)
        ks = scoring.ks_of(spec.evaluation.samples_per_problem, spec.evaluation.ks)
        result = EvaluationResult(
            version=count.version,
            reward=count.reward_sum / count.num_episodes if count.num_episodes else 0.0,
            num_problems=count.num_groups,
            num_episodes=count.num_episodes,
            finished_at=count.last_push,
            pass_at=scoring.pass_at(tallies, ks),
            by_difficulty=scoring.by_difficulty(tallies, ks),
        )
        self._results[run_id, count.version] = result
        while len(self._results) > MAX_RESULTS:
            self._results.popitem(last=False)
        return result


def _tallies(known: dict[str, ProblemRef], problems: list[EvaluatedProblem]) -> list[Tally]:
    if any(problem.passed is None for problem in problems):
        return []  # evaluated before passes were counted: a reward is all there is
    return [
        Tally(
            num_samples=problem.kept,
            num_passed=problem.passed or 0,
            reward_sum=problem.reward_sum,
            difficulty=known[problem.problem_id].difficulty if problem.problem_id in known else None,
        )
        for problem in problems
    ]


def _kinds(library: Library, spec: RunSpec) -> dict[str, ProblemRef]:
    try:
        return {ref.id: ref for ref in library.open(spec.problem_set).refs()}
    except (SkyscaleError, OSError, UnicodeError):
        return {}  # the file is gone: difficulties are unknown, the counts are not
