"""Problems: what an episode asks for and the tests that decide its reward.

One problem is one line of a JSONL file; `docs/problem-format.md` explains the format.
The hidden tests never leave the server: `PublicProblem` is what a caller may see.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from skyscale.wire.base import Reply, Request

Tag = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,39}$")]


class Difficulty(StrEnum):
    """How hard a problem is for the model class it was written for."""

    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"


class Split(StrEnum):
    """Which side of the train/held-out border a problem is on."""

    TRAIN = "train"
    HELDOUT = "heldout"


class Trust(StrEnum):
    """What a verdict is worth against code that wants to cheat."""

    STRONG = "strong"
    """Tests and the candidate's code never share a process."""
    WEAK = "weak"
    """They do: an honest program is judged rightly, a cheating one may not be."""


class StdinTest(Request):
    """One run of a program: what it reads and what it must print."""

    stdin: str
    """The whole standard input."""
    stdout: str
    """The expected output; trailing white space of lines and of the whole is ignored."""


class Problem(Request):
    """A task with its tests, its reference solution and wrong solutions that must not score 1."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,79}$")]
    """Unique in its problem set."""
    family: str
    """Problems that vary one idea; the train/held-out split never separates a family's meaning from its name."""
    prompt: str
    """What the model is asked, as the user's message."""
    difficulty: Difficulty
    split: Split
    style: Literal["calls", "stdin", "asserts", "answer"]
    """`calls`: tests call a function. `stdin`: tests run the whole program. `asserts`: test code calls a function.
    `answer`: the text itself is judged, by its final answer."""
    entry_point: str | None = None
    """The function that the tests call; required for `calls` and `asserts`."""
    test_cases: list[str] = []
    """For `calls`: lines `assert f(literal, ...) == literal`, parsed and never executed."""
    stdin_tests: list[StdinTest] = []
    """For `stdin`: the runs and their expected outputs."""
    test_code: Annotated[str, Field(max_length=262_144)] = ""
    """For `asserts`: Python that asserts, at the top level or in `check(candidate)`; run in a sandbox of its own."""
    trust: Trust = Trust.STRONG
    """`weak` admits test code that needs one process with the candidate's code, which could then cheat."""
    num_examples: Annotated[int, Field(ge=0)] = 1
    """How many of the tests, from the first, are public examples."""
    answer: Annotated[str, Field(max_length=1000)] = ""
    """For `answer`: the right one; hidden, like tests."""
    answer_kind: Literal["number", "text"] = "number"
    """For `answer`: `number` compares exact values (`1,000.0` is `1000`), `text` words without regard to case."""
    tags: Annotated[list[Tag], Field(max_length=16)] = []
    """For counting and filtering."""
    solution: str | None = None
    """A reference solution; it must score 1."""
    wrong_solutions: list[str] = []
    """Plausible programs that must score below 1."""


class PublicProblem(Reply):
    """The part of a problem that a caller may see."""

    id: str
    family: str
    prompt: str
    difficulty: Difficulty
    split: Split
    style: str
    test_cases: list[str]
    """The public examples only."""
    total_tests: int
    """How many tests decide the reward."""
    tags: list[str] = []
    trust: Trust = Trust.STRONG
    """`weak` ones are trained on only where a run allows it."""


class ProblemPage(Reply):
    """`GET /api/rl/env/problems`: a page of problems, in the set's order."""

    problems: list[PublicProblem]
    next_cursor: str | None
    """Pass as `cursor` to get the next page; null on the last one."""
    num_problems: int = 0
    """How many match the filters, on all pages."""
    num_weak: int = 0
    """How many of those are of `trust: weak`."""
