"""Which problem comes next, with which seed, and which verdicts may be remembered: pure, by hashes of the run's seed.

- Train problems are drawn by a fresh shuffle per epoch, without replacement; the sequence number is the position.
- Held-out problems are drawn round-robin over families, so a small evaluation still sees many ideas.
- The same seed gives the same order on every machine and version of Python.
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import sha256

from skyscale.wire.episodes import Outcome, Verdict
from skyscale.wire.problems import Problem

UNSTABLE = ("timeout", "killed")
"""Test statuses that depend on how busy the machine is; such a verdict is judged afresh each time."""


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


def heldout_sample(problems: Iterable[Problem], seed: int, limit: int) -> list[Problem]:
    """The first `limit` held-out problems in a seeded order that takes one of each family in turn."""
    families: defaultdict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        families[problem.family].append(problem)
    ranked = [
        (rank, _digest(f"{seed}:family:{family}"), problem)
        for family, members in families.items()
        for rank, problem in enumerate(sorted(members, key=lambda p: _digest(f"{seed}:heldout:{p.id}")))
    ]
    ranked.sort(key=lambda entry: entry[:2])
    return [problem for _, _, problem in ranked[:limit]]


def pick(problems: Sequence[Problem], seed: int) -> Problem:
    """One problem by seed."""
    return min(problems, key=lambda p: _digest(f"{seed}:pick:{p.id}"))


def verdict_key(problem: Problem, code: str) -> bytes:
    """What a verdict depends on: the problem's whole content and the program."""
    return sha256(problem.model_dump_json().encode() + b"\0" + code.encode("utf-8", "surrogatepass")).digest()


def may_remember(verdict: Verdict) -> bool:
    """Whether judging the same program again would say the same."""
    if verdict.outcome == Outcome.INFRASTRUCTURE_FAILURE:
        return False
    return not any(test.status in UNSTABLE for test in verdict.tests)
