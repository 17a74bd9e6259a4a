"""Plausible mistakes: the few systematic kinds that wrong solutions and the starter model's warm-up share.

The kinds are: a constant off by one or with the wrong sign, a wrong operator, a wrong comparison, a wrong function of a
pair (max/min), swapped arguments. A *site* is a place in the expression where one of them can happen. The kinds are
the same in every family, so a policy that unlearns them in some families unlearns them in all.
"""

import random
import re
from dataclasses import dataclass

from skyscale.envs.problems.family import Variant

_TOKEN = re.compile(r"(?<=[\[:])-\d|\d|[A-Za-z_]+|\*\*|//|<=|>=|==|!=|[-+*%<>]|.")
_OPPOSITES = {
    "+": ("-",),
    "-": ("+",),
    "*": ("+",),
    "//": ("%",),
    "%": ("//",),
    "**": ("*",),
    "<": (">",),
    ">": ("<",),
    "==": ("!=",),
    "!=": ("==",),
    "max": ("min",),
    "min": ("max",),
    "sum": ("max",),
    "upper": ("lower",),
    "lower": ("upper",),
}


@dataclass(frozen=True, slots=True)
class Site:
    """One place for a mistake: token `index` becomes one of `options`; index -1 swaps the two arguments."""

    index: int
    options: tuple[str, ...]


def sites(variant: Variant) -> list[Site]:
    """Every site of a variant's expression, in the order of its text; swapped arguments come last."""
    found = [Site(i, options) for i, token in enumerate(_TOKEN.findall(variant.body)) if (options := _options(token))]
    if len(variant.names) == 2:
        found.append(Site(-1, ("",)))
    return found


def apply(variant: Variant, choices: dict[Site, str]) -> str:
    """The program with the chosen mistakes in it."""
    tokens: list[str] = _TOKEN.findall(variant.body)
    for site, option in choices.items():
        if site.index >= 0:
            tokens[site.index] = option
    if any(site.index < 0 for site in choices):
        first, second = variant.names
        swap = {first: second, second: first}
        tokens = [swap.get(token, token) for token in tokens]
    return variant.head + "".join(tokens) + variant.tail


def single_mistakes(variant: Variant) -> list[tuple[Site, str, str]]:
    """Each (site, option, program) with exactly one mistake."""
    return [(site, x, apply(variant, {site: x})) for site in sites(variant) for x in site.options]


def draw_program(variant: Variant, usable: list[Site], right: float, cap: float, rng: random.Random) -> str:
    """A program that makes a mistake at each usable site independently, and none at all with probability `right`.

    `cap` bounds the chance of a mistake at one site, so the right token stays the likeliest at every place.
    """
    if not usable:
        return variant.solution
    chance = min(cap, 1.0 - right ** (1.0 / len(usable)))
    return apply(variant, {site: rng.choice(site.options) for site in usable if rng.random() < chance})


def _options(token: str) -> tuple[str, ...]:
    if token[-1].isdigit():
        number = int(token)
        if number < 0:
            return (str(number - 1), str(number + 1), str(-number))
        return (str(number - 1), str(number + 1)) if number > 0 else ("1",)
    return _OPPOSITES.get(token, ())
