"""Which problem comes next, with which seed, and which verdicts may be remembered: pure, by hashes of the run's seed.

- Train problems are drawn by a fresh shuffle per epoch, without replacement; the sequence number is the position.
- Held-out problems are drawn round-robin over families, so a small evaluation still sees many ideas.
- With a curriculum, a position that falls on a retired problem is given to another one, most of the time.
- The same seed gives the same order on every machine and version of Python.
"""

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Protocol, TypeVar

from skyscale.wire.episodes import Outcome, Verdict
from skyscale.wire.problems import Problem
from skyscale.wire.runs import Curriculum

UNSTABLE = ("timeout", "killed")
"""Test statuses that depend on how busy the machine is; such a verdict is judged afresh each time."""


MEMORY = 8
"""Groups of a problem that its estimate looks back on."""
MAX_TRIES = 64
"""Others that are looked at in place of a retired problem; when nearly all are retired, all are drawn as they are."""


class Kind(Protocol):
    """What choosing a problem needs to know of it: problems have it, and their index entries."""

    @property
    def id(self) -> str:
        """Unique in its set."""
        ...

    @property
    def family(self) -> str:
        """Problems that vary one idea."""
        ...


K = TypeVar("K", bound=Kind)


class Pool(StrEnum):
    """What a curriculum makes of a problem."""

    UNPLAYED = "unplayed"
    LEARNING = "learning"
    SOLVED = "solved"
    HOPELESS = "hopeless"


def estimate(rewards: Sequence[float], decay: float) -> float:
    """The weighted mean of a problem's mean group rewards, newest first; the k-th older one has weight decay^k."""
    weights = [decay**age for age in range(len(rewards))]
    return sum(w * r for w, r in zip(weights, rewards, strict=True)) / sum(weights)


def pool_of(rewards: Sequence[float], curriculum: Curriculum) -> Pool:
    """Where a problem with these mean group rewards, newest first, belongs."""
    if len(rewards) < curriculum.after_groups:
        return Pool.UNPLAYED
    level = estimate(rewards, curriculum.decay)
    if level > curriculum.solved_above:
        return Pool.SOLVED
    return Pool.HOPELESS if level < curriculum.hopeless_below else Pool.LEARNING


def draw_from_pools(
    problem_ids: tuple[str, ...], seed: int, sequence: int, is_retired: Callable[[str], bool], recheck: float
) -> str:
    """As `draw`, but a retired problem keeps its turn only with probability `recheck`, else another one has it."""
    first = draw(problem_ids, seed, sequence)
    candidate = first
    for attempt in range(MAX_TRIES):
        place = int.from_bytes(_digest(f"{seed}:curriculum:{sequence}:{attempt}")[:12])
        if not is_retired(candidate) or (place >> 64) < recheck * (1 << 32):
            return candidate
        candidate = problem_ids[(place & ((1 << 64) - 1)) % len(problem_ids)]
    return first


def draw(problem_ids: tuple[str, ...], seed: int, sequence: int) -> str:
    """The problem of the train group with this sequence number."""
    epoch, position = divmod(sequence, len(problem_ids))
    return _shuffled(problem_ids, f"{seed}:epoch:{epoch}")[position]


@functools.lru_cache(maxsize=64)
def _shuffled(ids: tuple[str, ...], salt: str) -> tuple[str, ...]:
    return tuple(sorted(ids, key=lambda id_: _digest(f"{salt}:{id_}")))


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def group_seed(run_seed: int, purpose: str, sequence: int) -> int:
    """Seed of a group's sampling, in [0, 2**31)."""
    return int.from_bytes(_digest(f"{run_seed}:{purpose}:{sequence}")[:4]) >> 1


def heldout_sample(problems: Iterable[K], seed: int, limit: int) -> list[K]:
    """The first `limit` held-out problems in a seeded order that takes one of each family in turn."""
    families: defaultdict[str, list[K]] = defaultdict(list)
    for problem in problems:
        families[problem.family].append(problem)
    ranked = [
        (rank, _digest(f"{seed}:family:{family}"), problem)
        for family, members in families.items()
        for rank, problem in enumerate(sorted(members, key=lambda p: _digest(f"{seed}:heldout:{p.id}")))
    ]
    ranked.sort(key=lambda entry: entry[:2])
    return [problem for _, _, problem in ranked[:limit]]


def pick(problem_ids: Sequence[str], seed: int) -> str:
    """One problem by seed."""
    return min(problem_ids, key=lambda problem_id: _digest(f"{seed}:pick:{problem_id}"))


def verdict_keys(problem: Problem, codes: Iterable[str]) -> dict[str, bytes]:
    """By program, what its verdict depends on: the problem's whole content and the program."""
    of_problem = sha256(problem.model_dump_json().encode() + b"\0")
    keys: dict[str, bytes] = {}
    for code in codes:
        digest = of_problem.copy()
        digest.update(code.encode("utf-8", "surrogatepass"))
        keys[code] = digest.digest()
    return keys


def may_remember(verdict: Verdict) -> bool:
    """Whether judging the same program again would say the same."""
    if verdict.outcome == Outcome.INFRASTRUCTURE_FAILURE:
        return False
    return not any(test.status in UNSTABLE for test in verdict.tests)
