"""Problem sets: loading, checking, selecting.

Invariants: a set is immutable, its ids are unique, every problem has tests of its own style, and every call test is one
that the judge can parse; so whoever judges needs no further checks. The hidden tests leave only through `get`; whatever
is sent to a caller goes through `public`. `ProblemSet` holds all its problems, `stored.StoredProblems` an index alone.
"""

import functools
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import ValidationError

from skyscale.envs.answers import is_right
from skyscale.envs.assertions import parse_assertion
from skyscale.envs.test_code import plan_for
from skyscale.errors import Invalid, NotFound
from skyscale.wire.problems import Difficulty, Problem, PublicProblem, Split, Trust

EMBEDDED = "embedded"
_EMBEDDED_PATH = Path(__file__).parent / "problems" / "embedded.jsonl"
_MAX_ERRORS = 20


class ProblemRef(NamedTuple):
    """What choosing a problem needs to know of it."""

    id: str
    family: str
    difficulty: Difficulty
    split: Split
    tags: tuple[str, ...] = ()
    trust: Trust = Trust.STRONG


TrainKey = tuple[Difficulty | None, bool]
"""Of which difficulty (None: any), and whether problems of weak trust are among them."""


class ProblemIds(tuple[str, ...]):
    """Ids in the set's order, hashed once: they are a key of what is remembered by order."""

    _hash: int

    def __new__(cls, ids: Iterable[str] = ()) -> "ProblemIds":
        made = super().__new__(cls, ids)
        made._hash = hash(tuple(made))
        return made

    def __hash__(self) -> int:
        return self._hash


class Problems(Protocol):
    """A set to play: ids and kinds at once, a problem when it is asked for."""

    @property
    def name(self) -> str:
        """As a run's specification names it."""
        ...

    @property
    def content_hash(self) -> str:
        """Equal hashes mean equal tests."""
        ...

    def get(self, problem_id: str) -> Problem:
        """The problem of that id; `NotFound` when there is none."""
        ...

    def train_ids(self, difficulty: Difficulty | str | None = None, *, allow_weak: bool = False) -> ProblemIds:
        """What is trained on, optionally of one difficulty; the same object each time.

        Problems of weak trust are among them only where that is allowed.
        """
        ...

    def refs(self) -> Sequence[ProblemRef]:
        """All problems, in the set's order."""
        ...


def heldout_refs(problems: Problems) -> list[ProblemRef]:
    """The problems that are never trained on."""
    return [ref for ref in problems.refs() if ref.split is Split.HELDOUT]


def train_key(difficulty: Difficulty | str | None, *, allow_weak: bool) -> TrainKey:
    """The key of `train_ids_of` for what is asked."""
    return None if difficulty is None else Difficulty(difficulty), allow_weak


def train_ids_of(kinds: Iterable[tuple[str, Split, Difficulty, Trust]]) -> dict[TrainKey, ProblemIds]:
    """Ids of train problems for every key, in the set's order."""
    train = [(id_, difficulty, trust) for id_, split, difficulty, trust in kinds if split is Split.TRAIN]
    return {
        (wanted, allow_weak): ProblemIds(
            id_
            for id_, difficulty, trust in train
            if wanted in (None, difficulty) and (allow_weak or trust is Trust.STRONG)
        )
        for wanted in (None, *Difficulty)
        for allow_weak in (False, True)
    }


@dataclass(frozen=True, slots=True)
class ProblemSet:
    """An immutable, checked list of problems."""

    name: str
    """As it was asked for: `embedded` or the file's path."""
    problems: tuple[Problem, ...]
    content_hash: str
    """`sha256:...` over all problems; equal hashes mean equal tests."""
    by_id: dict[str, Problem] = field(repr=False)
    ids_to_train: dict[TrainKey, ProblemIds] = field(repr=False)

    def get(self, problem_id: str) -> Problem:
        """The problem of that id; `NotFound` when there is none."""
        problem = self.by_id.get(problem_id)
        if problem is None:
            hint = "GET /api/rl/env/problems lists the ids."
            raise NotFound(f"Problem set {self.name!r} has no problem {problem_id!r}.", hint=hint)
        return problem

    def train_ids(self, difficulty: Difficulty | str | None = None, *, allow_weak: bool = False) -> ProblemIds:
        """See `Problems.train_ids`."""
        return self.ids_to_train[train_key(difficulty, allow_weak=allow_weak)]

    def refs(self) -> list[ProblemRef]:
        """See `Problems.refs`."""
        return [ref_of(problem) for problem in self.problems]

    def train(self, difficulty: Difficulty | str | None = None, *, allow_weak: bool = False) -> tuple[Problem, ...]:
        """The problems to train on, optionally of one difficulty; those of weak trust only where that is allowed."""
        wanted = None if difficulty is None else Difficulty(difficulty)
        trusted = (Trust.STRONG, Trust.WEAK) if allow_weak else (Trust.STRONG,)
        return tuple(
            p for p in self.problems if p.split is Split.TRAIN and wanted in (None, p.difficulty) and p.trust in trusted
        )

    def heldout(self) -> tuple[Problem, ...]:
        """The problems that are never trained on."""
        return tuple(p for p in self.problems if p.split is Split.HELDOUT)


def load_problem_set(name_or_path: str | Path = EMBEDDED) -> ProblemSet:
    """The embedded set, or that of a JSONL file; cached until the file changes.

    Raises `NotFound` for a missing file, and `Invalid` that names up to 20 bad lines.
    """
    name = str(name_or_path)
    path = _EMBEDDED_PATH if name == EMBEDDED else Path(name)
    if not path.is_file():
        raise NotFound(f"There is no problem set {name!r}.", hint=f"Use {EMBEDDED!r} or the path of a JSONL file.")
    stat = path.stat()
    return _load(name, path.absolute(), stat.st_mtime_ns, stat.st_size)


def ref_of(problem: Problem) -> ProblemRef:
    """What choosing it needs to know."""
    return ProblemRef(problem.id, problem.family, problem.difficulty, problem.split, tuple(problem.tags), problem.trust)


def public(problem: Problem) -> PublicProblem:
    """What a caller may see: the prompt and the example tests, never the hidden ones."""
    tests = problem.test_cases or [f"stdin {t.stdin!r} prints {t.stdout!r}" for t in problem.stdin_tests]
    total = plan_for(problem).num_tests if problem.style == "asserts" else len(tests)
    if problem.style == "answer":
        total = 1
    return PublicProblem(
        id=problem.id,
        family=problem.family,
        prompt=problem.prompt,
        difficulty=problem.difficulty,
        split=problem.split,
        style=problem.style,
        test_cases=tests[: problem.num_examples],
        total_tests=total,
        tags=problem.tags,
        trust=problem.trust,
    )


@functools.lru_cache(maxsize=8)
def _load(name: str, path: Path, mtime_ns: int, size: int) -> ProblemSet:
    del mtime_ns, size  # part of the cache's key only
    by_id: dict[str, Problem] = {}
    mistakes: list[str] = []
    families: dict[str, Split] = {}
    digest = hashlib.sha256()
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            problem = Problem.model_validate_json(line)
        except ValidationError as error:
            mistakes += [f"line {number}: {'.'.join(map(str, e['loc'])) or 'line'}: {e['msg']}" for e in error.errors()]
            continue
        mistakes += [f"line {number}: {text}" for text in mistakes_of(problem)]
        if problem.id in by_id:
            mistakes.append(f"line {number}: id {problem.id!r} is used twice")
        if families.setdefault(problem.family, problem.split) is not problem.split:
            mistakes.append(f"line {number}: family {problem.family!r} is in both splits")
        by_id[problem.id] = problem
        digest.update(problem.model_dump_json().encode() + b"\n")
    _refuse(name, mistakes, empty=not by_id)
    to_train = train_ids_of((p.id, p.split, p.difficulty, p.trust) for p in by_id.values())
    return ProblemSet(name, tuple(by_id.values()), f"sha256:{digest.hexdigest()}", by_id, to_train)


def _refuse(name: str, mistakes: list[str], *, empty: bool) -> None:
    if not mistakes and not empty:
        return
    shown = mistakes[:_MAX_ERRORS] or ["it has no problems"]
    more = [f"and {len(mistakes) - _MAX_ERRORS} more"] if len(mistakes) > _MAX_ERRORS else []
    raise Invalid(
        f"Problem set {name!r} is refused:\n" + "\n".join(shown + more),
        hint="docs/problem-format.md describes each field.",
    )


def mistakes_of(problem: Problem) -> Iterator[str]:
    """What the field types alone cannot refuse."""
    fields = {"calls": "test_cases", "stdin": "stdin_tests", "asserts": "test_code", "answer": "answer"}
    wanted = fields.pop(problem.style)
    for field_name in fields.values():
        if getattr(problem, field_name):
            yield f"style {problem.style!r} excludes {field_name}"
    if not getattr(problem, wanted):
        yield f"{wanted}: at least one is required"
        return
    if problem.style == "answer":
        yield from _mistakes_of_answer(problem)
        return
    if problem.style == "stdin":
        yield from _mistakes_of_examples(problem, len(problem.stdin_tests))
        if problem.entry_point is not None:
            yield "style 'stdin' excludes entry_point"
        return
    if problem.entry_point is None or not problem.entry_point.isidentifier():
        yield "entry_point: the name of the function that the tests call is required"
        return
    yield from _mistakes_of_asserts(problem) if problem.style == "asserts" else _mistakes_of_calls(problem)


def _mistakes_of_answer(problem: Problem) -> Iterator[str]:
    if problem.entry_point is not None:
        yield "style 'answer' excludes entry_point"
    if problem.num_examples > 1:
        yield "num_examples: an answer is hidden, put examples into the prompt"
    if not is_right(problem, problem.answer):
        yield f"answer: {problem.answer!r} is no {problem.answer_kind} that an answer can be compared with"


def _mistakes_of_examples(problem: Problem, num_shown: int) -> Iterator[str]:
    if problem.num_examples > num_shown:
        yield "num_examples: is more than there are tests"


def _mistakes_of_asserts(problem: Problem) -> Iterator[str]:
    if problem.num_examples > 1:  # the default of 1 shows nothing here: test code is hidden as a whole
        yield "num_examples: test code has no public examples, put them into the prompt"
    try:
        plan = plan_for(problem)
    except ValueError as error:
        yield f"test_code: {error}"
        return
    if problem.trust is Trust.WEAK and plan.is_rewritten:
        yield "trust: this test code does not need one process, leave `weak` out"


def _mistakes_of_calls(problem: Problem) -> Iterator[str]:
    yield from _mistakes_of_examples(problem, len(problem.test_cases))
    for index, case in enumerate(problem.test_cases):
        try:
            called = parse_assertion(case).entry_point
        except ValueError as error:
            yield f"test_cases.{index}: {error}"
            continue
        if called != problem.entry_point:
            yield f"test_cases.{index}: calls {called!r}, but entry_point is {problem.entry_point!r}"
