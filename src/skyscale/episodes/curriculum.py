"""Which problems of a run are worth playing now, from what the buffer knows of their groups.

- Nothing is stored: the pools follow from the run's pushed groups, in the order of their sequence numbers, so a
  restarted control plane, or another one, comes to the same ones.
- `update` reads only what was pushed since the last time; it is one small query in the caller's transaction.
- It may be called from the database's thread and from the event loop: a lock keeps it whole.
"""

import asyncio
import threading
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from skyscale.episodes import queries, rules
from skyscale.episodes.queries import PlayedGroup
from skyscale.episodes.rules import Pool
from skyscale.errors import NotFound
from skyscale.events.service import EventLog
from skyscale.problems.library import Library
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.runs import Curriculum, CurriculumCounts, RunSpec

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

MAX_RUNS = 64
OVERLAP = timedelta(seconds=30)
"""Pushes are committed a little later than their time says: so far back is read again."""
TELL_EVERY_VERSIONS = 5
RETIRED = (Pool.SOLVED, Pool.HOPELESS)


class Pools:
    """What is known of one run's problems."""

    def __init__(self, curriculum: Curriculum) -> None:
        self._curriculum = curriculum
        self._rewards: defaultdict[str, dict[int, float]] = defaultdict(dict)
        """By problem: mean rewards by sequence number, of the newest `rules.MEMORY` groups."""
        self._pools: dict[str, Pool] = {}
        """Of problems that were played; the others are unplayed."""
        self._counts = Counter[Pool]()
        self.newest: datetime | None = None
        self.told: tuple[int, CurriculumCounts] | None = None
        """Version and counts of the last event."""

    def learn(self, played: Collection[PlayedGroup]) -> None:
        """Take in groups; again changes nothing."""
        for group in played:
            rewards = self._rewards[group.problem_id]
            rewards[group.sequence] = group.reward
            if len(rewards) > rules.MEMORY:
                del rewards[min(rewards)]
            self.newest = group.pushed_at if self.newest is None else max(self.newest, group.pushed_at)
        for problem_id in {group.problem_id for group in played}:
            rewards = self._rewards[problem_id]
            newest_first = [rewards[sequence] for sequence in sorted(rewards, reverse=True)]
            if problem_id in self._pools:
                self._counts[self._pools[problem_id]] -= 1
            self._pools[problem_id] = pool = rules.pool_of(newest_first, self._curriculum)
            self._counts[pool] += 1

    def draw(self, problem_ids: tuple[str, ...], seed: int, sequence: int) -> str:
        """The problem of a train group."""
        return rules.draw_from_pools(problem_ids, seed, sequence, self._is_retired, self._curriculum.recheck)

    def counts(self, num_problems: int) -> CurriculumCounts:
        """Problems by pool."""
        solved, hopeless, learning = (self._counts[p] for p in (Pool.SOLVED, Pool.HOPELESS, Pool.LEARNING))
        unplayed = num_problems - solved - hopeless - learning
        return CurriculumCounts(unplayed=unplayed, learning=learning, solved=solved, hopeless=hopeless)

    def _is_retired(self, problem_id: str) -> bool:
        return self._pools.get(problem_id) in RETIRED


class Curricula:
    """The pools of all runs that have a curriculum."""

    def __init__(self, library: Library, events: EventLog, metrics: Metrics) -> None:
        self._library = library
        self._events = events
        self._metrics = metrics
        self._runs: OrderedDict[str, Pools] = OrderedDict()
        self._lock = threading.Lock()

    async def counts(self, connection: "AsyncConnection", spec: RunSpec) -> CurriculumCounts | None:
        """The run's train problems by pool; None when its curriculum is off, or its problem set was deleted since."""
        if spec.curriculum is None:
            return None
        try:
            problems = await asyncio.to_thread(self._library.open, spec.problem_set)
        except NotFound:
            return None
        pools = await self.update(connection, spec.run_id, spec.curriculum)
        return pools.counts(len(problems.train_ids(spec.difficulty, allow_weak=spec.allow_weak_trust)))

    async def update(self, connection: "AsyncConnection", run_id: str, curriculum: Curriculum) -> Pools:
        """The pools of a run as its pushed groups make them now."""
        with self._lock:
            known = self._runs.get(run_id)
            since = None if known is None or known.newest is None else known.newest - OVERLAP
        played = await queries.played_groups(connection, run_id, since)
        with self._lock:
            pools = self._runs.setdefault(run_id, known or Pools(curriculum))
            pools.learn(played)
            self._runs.move_to_end(run_id)
            while len(self._runs) > MAX_RUNS:
                self._runs.popitem(last=False)
            return pools

    async def tell(
        self, connection: "AsyncConnection", pools: Pools, spec: RunSpec, version: int, num_problems: int
    ) -> None:
        """Show the counts in metrics, and record them as an event when they have changed, every few versions."""
        with self._lock:
            counts = pools.counts(num_problems)
        for name, number in counts.model_dump().items():
            self._metrics.rl_curriculum_problems.labels(spec.run_id, name).set(number)
        if pools.told is not None and (version < pools.told[0] + TELL_EVERY_VERSIONS or counts == pools.told[1]):
            return
        pools.told = version, counts
        data: dict[str, object] = {**counts.model_dump(), "version": version}
        message = f"{counts.solved} problems solved, {counts.hopeless} hopeless, {counts.learning} in between"
        await self._events.append(
            connection, run_id=spec.run_id, component="env", kind="curriculum.counted",
            message=f"{message}, {counts.unplayed} not yet known", data=data,
        )  # fmt: skip
