"""The embedded set, described as an uploaded one would be."""

import functools
from collections import Counter
from collections.abc import Iterable

from skyscale.envs.registry import load_problem_set
from skyscale.problems import rules
from skyscale.wire.problem_sets import ProblemCounts, ProblemSetVersion


@functools.lru_cache(maxsize=1)
def embedded_version() -> ProblemSetVersion:
    """Its one version."""
    found = load_problem_set()
    counts = ProblemCounts(
        problems=len(found.problems),
        families=len({problem.family for problem in found.problems}),
        by_split=_counted(problem.split.value for problem in found.problems),
        by_difficulty=_counted(problem.difficulty.value for problem in found.problems),
        by_style=_counted(problem.style for problem in found.problems),
        by_trust=_counted(problem.trust.value for problem in found.problems),
        by_tag=_counted(tag for problem in found.problems for tag in problem.tags),
    )
    return ProblemSetVersion(
        ref=rules.EMBEDDED, name=rules.EMBEDDED, version=rules.version_of(found.content_hash),
        content_hash=found.content_hash, counts=counts, solutions_checked=0, notes=[], created_at=None,
        size_bytes=sum(len(problem.model_dump_json(exclude_defaults=True)) + 1 for problem in found.problems),
    )  # fmt: skip


def _counted(kinds: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(kinds).items()))
