"""The warm-up corpus: problems of every family with answers that are right only part of the time.

The answers make independent mistakes at the sites of `envs.problems.mutations`, so the model becomes fluent in every
family, is right in about a third of its samples, and the right token is the likeliest one at every place: that is what
reinforcement can sharpen, and what it sharpens carries over to families that it never trains on.
"""

import random
from dataclasses import dataclass

from skyscale.envs.problems.family import Family, Variant, draw_variant
from skyscale.envs.problems.generate import FAMILIES, usable_sites
from skyscale.envs.problems.mutations import Site, draw_program

RIGHT = 0.35
"""Share of right answers, except where `MISTAKE_CAP` makes it higher."""
MISTAKE_CAP = 0.4
"""Highest chance of a mistake at one place; below one half with some distance."""


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt and one answer to learn it from."""

    family: str
    prompt: str
    answer: str


class Corpus:
    """An endless seeded stream of examples; families come equally often."""

    def __init__(self, seed: int, variants_per_family: int = 60) -> None:
        self._rng = random.Random(seed)
        self._pools = [_pool(family, variants_per_family, self._rng) for family in FAMILIES]

    def draw(self, right: float = RIGHT) -> Example:
        """The next example; its answer is right with probability `right` (or more, see `MISTAKE_CAP`)."""
        variant, usable = self._rng.choice(self._rng.choice(self._pools))
        answer = draw_program(variant, usable, right, MISTAKE_CAP, self._rng)
        return Example(variant.family.name, variant.prompt, answer)

    def texts(self) -> list[str]:
        """Every prompt and every right answer, for the tokenizer."""
        return [text for pool in self._pools for variant, _ in pool for text in (variant.prompt, variant.solution)]


def _pool(family: Family, size: int, rng: random.Random) -> list[tuple[Variant, list[Site]]]:
    variants = [draw_variant(family, rng) for _ in range(size)]
    return [(variant, usable_sites(variant, rng)) for variant in variants]
