"""What a family is: one operation template, rendered with constants and argument names into variants.

Invariants: rendering is pure; the same family and variant always give the same text. Constants stay one digit wide,
also after a mistake of one, so every constant is one token of the starter model.
"""

import random
from dataclasses import dataclass
from typing import Literal

from skyscale.wire.problems import Difficulty

Value = int | str | list[int]

NAMES: dict[str, tuple[str, ...]] = {
    "ab": ("a b", "x y", "p q", "m n", "u w", "c d"),
    "a": ("a", "n", "x", "p", "m", "y"),
    "v": ("nums", "values", "items", "data", "row", "xs"),
    "s": ("s", "text", "word", "line", "name", "t"),
    "st": ("s t", "left right", "first second", "p q", "head tail", "u w"),
}
"""The names that the arguments of a template may take; the key lists the template's letters."""

READERS = {
    "a": "{a} = int(input())",
    "ab": "{a}, {b} = map(int, input().split())",
    "v": "{v} = list(map(int, input().split()))",
    "s": "{s} = input()",
}
READS = {
    "a": "an integer {a}",
    "ab": "two integers {a} and {b} from one line",
    "v": "a list {v} of integers from one line",
    "s": "a line {s}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One operation template."""

    name: str
    difficulty: Difficulty
    args: Literal["a", "ab", "v", "s", "st"]
    """The letters of the arguments: a, b integers; v a list of integers; s, t strings."""
    text: str
    """What is returned or printed, with the letters and the constants {k} and {m} in braces."""
    code: str
    """The expression for it, in the same notation."""
    style: Literal["calls", "stdin"] = "calls"
    heldout: bool = False
    low: int = 2
    high: int = 8
    """Both ends of the constants' range."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A family with its constants and names filled in."""

    family: Family
    prompt: str
    head: str
    """The code before the expression."""
    body: str
    """The expression: the part in which mistakes are made."""
    tail: str
    names: tuple[str, ...]

    @property
    def solution(self) -> str:
        """The right program."""
        return self.head + self.body + self.tail


def draw_variant(family: Family, rng: random.Random) -> Variant:
    """One variant with constants and names drawn from `rng`."""
    names = rng.choice(NAMES[family.args]).split()
    constants = rng.sample(range(family.low, family.high + 1), 2)
    fields: dict[str, str] = dict(zip(family.args, names, strict=True))
    fields |= {"k": str(constants[0]), "m": str(constants[1])}
    text, body = family.text.format(**fields), family.code.format(**fields)
    if family.style == "stdin":
        prompt = f"Write a program that reads {READS[family.args].format(**fields)} and prints {text}."
        return Variant(family, prompt, READERS[family.args].format(**fields) + "\nprint(", body, ")", tuple(names))
    signature = ", ".join(names)
    prompt = f"Write a function f({signature}) that returns {text}."
    return Variant(family, prompt, f"def f({signature}):\n    return ", body, "", tuple(names))


def draw_inputs(family: Family, rng: random.Random) -> tuple[Value, ...]:
    """One argument tuple. Lists are dense in small values, so that a mistake of one in a constant shows."""
    return tuple(_draw_value(letter, rng) for letter in family.args)


def _draw_value(letter: str, rng: random.Random) -> Value:
    if letter in "ab":
        return rng.randint(1, 40)
    if letter == "v":
        return [rng.randint(0, 12) for _ in range(rng.randint(7, 9))]
    letters = (rng.choice("abcdefghiklmnoprstuw") for _ in range(rng.randint(7, 10)))
    return "".join(x.upper() if rng.random() < 0.4 else x for x in letters)
