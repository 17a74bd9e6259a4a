"""Single episodes over HTTP: reset hands out a problem, step judges a program against it, close ends it.

- An episode is bound to its problem when it is reset; a step cannot change it and takes no tests from its caller.
- The id stands for a place to run code: each step runs in a fresh sandbox, so nothing is held open between calls.
- Idle episodes end after `IDLE_S`; the number of open ones is bounded.
"""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from skyscale.buffer.parsing import check_id
from skyscale.buffer.service import BufferService
from skyscale.envs.registry import EMBEDDED, Problems, load_problem_set, public
from skyscale.episodes import queries, rules
from skyscale.episodes.judging import Judging
from skyscale.episodes.queries import EpisodeRow
from skyscale.errors import Gone, Invalid, NotFound, TooMany
from skyscale.problems.library import Library
from skyscale.problems.rules import is_stored
from skyscale.store.engine import Database
from skyscale.wire.base import new_id, utc_now
from skyscale.wire.episodes import ResetReply, ResetRequest, StepRequest, Verdict
from skyscale.wire.problems import Difficulty, Problem, ProblemPage, PublicProblem, Split, Trust

IDLE_S = 30 * 60
MAX_OPEN = 1024


class MissionService:
    """Episodes of callers that play by themselves."""

    def __init__(
        self,
        database: Database,
        buffer: BufferService,
        judging: Judging,
        library: Library,
        now: Callable[[], datetime] = utc_now,
        max_open: int = MAX_OPEN,
    ) -> None:
        self._database = database
        self._buffer = buffer
        self._judging = judging
        self._library = library
        self._now = now
        self._max_open = max_open

    async def reset(self, request: ResetRequest) -> ResetReply:
        """A new episode of the problem that was named, or of a train problem by seed or chance.

        Raises:
            NotFound: no such run, set or problem. Invalid: another difficulty, or the set is not the run's.
            TooMany: too many open episodes.
        """
        problems = await self._problems(request)
        problem = _choose(problems, request)
        now = self._now()
        row = EpisodeRow(new_id("sb"), new_id("ep"), problems.name, problem.id, request.run_id, now, None)
        async with self._database.write() as connection:
            await queries.close_idle(connection, now - timedelta(seconds=IDLE_S), now)
            if await queries.num_open(connection) >= self._max_open:
                raise TooMany(f"{self._max_open} episodes are open: close some", retry_after_s=5.0)
            await queries.insert_episode(connection, row)
        return ResetReply(
            sandbox_id=row.sandbox_id,
            episode_id=row.episode_id,
            problem_id=problem.id,
            prompt=problem.prompt,
            test_cases=public(problem).test_cases,
        )

    async def run_of(self, sandbox_id: str) -> str | None:
        """The run that an episode was reset for. Raises NotFound."""
        return (await self._load(sandbox_id)).run_id

    async def step(self, request: StepRequest) -> Verdict:
        """The verdict on a program for the episode's own problem; may be called again until the episode is closed.

        Raises:
            NotFound: no such sandbox id. Gone: the episode was closed or idle for too long.
        """
        episode = await self._load(request.sandbox_id)
        idle_since = self._now() - timedelta(seconds=IDLE_S)
        if episode.closed_at is not None or episode.touched_at < idle_since:
            raise Gone(f"episode {request.sandbox_id!r} has ended", code="episode_closed", hint="Reset a new one.")
        problem = self._library.open(episode.problem_set).get(episode.problem_id)
        (verdict,) = await self._judging.verdicts(problem, [request.code], episode.run_id)
        async with self._database.write() as connection:
            await queries.touch_episode(connection, request.sandbox_id, self._now())
        return verdict

    async def close(self, sandbox_id: str) -> None:
        """End an episode; ending it again changes nothing. Raises NotFound."""
        await self._load(sandbox_id)
        async with self._database.write() as connection:
            await queries.close_episode(connection, sandbox_id, self._now())

    def page(
        self,
        *,
        problem_set: str = EMBEDDED,
        difficulty: Difficulty | None = None,
        split: Split | None = None,
        family: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> ProblemPage:
        """A page of problems in the set's order; `next_cursor` is the id to go on after."""
        matching = [
            p
            for p in load_problem_set(problem_set).problems
            if difficulty in (None, p.difficulty) and split in (None, p.split) and family in (None, p.family)
        ]
        start = 0
        if after is not None:
            places = {p.id: i for i, p in enumerate(matching)}
            if after not in places:
                raise Invalid(f"cursor: {after!r} is not from a page with these filters")
            start = places[after] + 1
        page = matching[start : start + limit]
        has_more = start + limit < len(matching)
        return ProblemPage(
            problems=[public(p) for p in page],
            next_cursor=page[-1].id if has_more else None,
            num_problems=len(matching),
            num_weak=sum(p.trust is Trust.WEAK for p in matching),
        )

    def get(self, problem_id: str, problem_set: str = EMBEDDED) -> PublicProblem:
        """One problem. Raises NotFound."""
        return public(load_problem_set(problem_set).get(problem_id))

    async def _problems(self, request: ResetRequest) -> Problems:
        if request.run_id is None:
            return self._named(request.problem_set or EMBEDDED)
        check_id("run_id", request.run_id)
        async with self._database.read() as connection:
            run = await self._buffer.load(connection, request.run_id)
        if request.problem_set not in (None, run.spec.problem_set):
            raise Invalid(f"problem_set: the run plays {run.spec.problem_set!r}")
        return self._library.open(run.spec.problem_set)

    def _named(self, problem_set: str) -> Problems:
        """Not the path of a file: whoever may play an episode may not read this host's files by it."""
        if problem_set != EMBEDDED and not is_stored(problem_set):
            raise Invalid(f"problem_set: {problem_set!r} is neither 'embedded' nor a `name@version`")
        return self._library.open(problem_set)

    async def _load(self, sandbox_id: str) -> EpisodeRow:
        check_id("sandbox_id", sandbox_id)
        async with self._database.read() as connection:
            episode = await queries.load_episode(connection, sandbox_id)
        if episode is None:
            raise NotFound(f"there is no sandbox {sandbox_id!r}", code="sandbox_not_found", hint="Reset an episode.")
        return episode


def _choose(problems: Problems, request: ResetRequest) -> Problem:
    if request.problem_id is not None:
        problem = problems.get(request.problem_id)
        if request.difficulty not in (None, problem.difficulty):
            raise Invalid(f"difficulty: problem {problem.id!r} is {problem.difficulty}")
        return problem
    matching = problems.train_ids(request.difficulty)
    if not matching:
        present = ", ".join(sorted({ref.difficulty for ref in problems.refs() if ref.split is Split.TRAIN}))
        raise Invalid(f"difficulty: this problem set has no {request.difficulty} train problems, only {present}")
    return problems.get(rules.pick(matching, request.seed) if request.seed is not None else secrets.choice(matching))
