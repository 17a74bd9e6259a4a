"""Taking in a JSONL file of any content: every line checked, errors with line numbers, a canonical copy with its index.

    python -m skyscale.envs.intake SOURCE FOLDER HELDOUT_FRACTION

- Memory is bounded by `MAX_LINE_BYTES` and `MAX_PROBLEMS`, not by the file: two passes, one line at a time. The first
  learns which families state a split, the second checks and writes.
- The copy has one canonical line per problem, without fields that have their default; equal content has equal hashes.
- Untrusted text is parsed here, so the control plane runs it as a process of its own, under `MAX_MEMORY_BYTES`. It
  prints one JSON line now and then (`{"done": bytes, "total": bytes}`) and leaves `report.json` in the folder.
"""

import contextlib
import hashlib
import os
import resource
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
from pydantic import ValidationError

from skyscale.envs.registry import mistakes_of, ref_of
from skyscale.envs.splits import plan_splits
from skyscale.envs.stored import INDEX_FILE, PROBLEMS_FILE, IndexRow, write_index
from skyscale.wire.base import Reply
from skyscale.wire.problem_sets import ProblemCounts
from skyscale.wire.problems import Difficulty, Problem, Split

REPORT_FILE = "report.json"
MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_PROBLEMS = 200_000
MAX_SHOWN_ERRORS = 20
MAX_ERRORS = 1000
"""After so many the rest of the file is not looked at."""
MAX_MEMORY_BYTES = 2 * 1024**3
_TELL_EVERY_LINES = 2000


class Report(Reply):
    """What became of a file."""

    content_hash: str
    size_bytes: int
    counts: ProblemCounts
    lines: list[int]
    """For each problem the number of its line in the source."""
    num_solutions: int
    """Problems with a reference solution or wrong ones."""
    notes: list[str]
    errors: list[str]
    """The first of them, each with its line number."""
    num_errors: int


class _Intake:
    """One file on its way in."""

    def __init__(self, source: Path, folder: Path, heldout_fraction: float, tell: Callable[[int, int], None]) -> None:
        self._source, self._folder, self._tell = source, folder, tell
        self._heldout_fraction = heldout_fraction
        self._total = source.stat().st_size
        self._read = 0
        self._errors: list[str] = []
        self._num_errors = 0
        self._rows: list[IndexRow] = []
        self._lines: list[int] = []
        self._ids: dict[str, int] = {}
        self._families: dict[str, Split] = {}
        self._counts = {name: Counter[str]() for name in ("split", "difficulty", "style", "trust", "tag")}
        self._num_solutions = 0

    def run(self) -> Report:
        plan = plan_splits(self._stated_splits(), self._heldout_fraction)
        digest, size = hashlib.sha256(), 0
        self._read = 0
        with (self._folder / PROBLEMS_FILE).open("xb") as sink:
            for number, line in self._each_line():
                problem = self._problem(number, line, plan)
                if problem is None:
                    if self._num_errors >= MAX_ERRORS:
                        break
                    continue
                text = problem.model_dump_json(exclude_defaults=True).encode() + b"\n"
                self._count(number, problem, size, len(text))
                digest.update(text)
                size += sink.write(text)
        if not self._rows and not self._num_errors:
            self._mistake(1, "the file has no problems")
        content_hash = f"sha256:{digest.hexdigest()}"
        write_index(content_hash, self._rows, self._folder / INDEX_FILE)
        return Report(
            content_hash=content_hash, size_bytes=size, counts=self._problem_counts(),
            lines=self._lines, num_solutions=self._num_solutions, notes=list(self._notes()),
            errors=self._errors, num_errors=self._num_errors,
        )  # fmt: skip

    def _stated_splits(self) -> dict[str, Split | None]:
        stated: dict[str, Split | None] = {}
        for _, line in self._each_line():
            with contextlib.suppress(ValueError, RecursionError, AttributeError):
                fields = _object(line or b"")
                family, split = fields.get("family", fields.get("id")), fields.get("split")
                if isinstance(family, str):
                    stated[family] = stated.get(family) or (Split(split) if split is not None else None)
            if len(stated) > MAX_PROBLEMS:
                break
        return stated

    def _each_line(self) -> Iterator[tuple[int, bytes | None]]:
        """Numbered lines that are not blank; None for one that is too long, which is never in memory as a whole."""
        with self._source.open("rb") as source:
            number = 0
            while line := source.readline(MAX_LINE_BYTES + 1):
                number += 1
                is_whole = len(line) <= MAX_LINE_BYTES or line.endswith(b"\n")
                self._read += len(line) if is_whole else len(line) + _skip_line(source)
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if not is_whole or line.strip():
                    yield number, line if is_whole else None
                if number % _TELL_EVERY_LINES == 0:
                    self._tell(self._read, self._total)

    def _problem(self, number: int, line: bytes | None, plan: dict[str, Split]) -> Problem | None:
        """The checked problem of a line, or None and its errors."""
        before = self._num_errors
        try:
            if line is None:
                raise ValueError(f"longer than {MAX_LINE_BYTES} bytes")
            problem = _completed(_object(line), plan)
            for mistake in mistakes_of(problem):
                self._mistake(number, mistake)
        except ValidationError as error:
            for each in error.errors(include_url=False, include_context=False):
                self._mistake(number, f"{'.'.join(map(str, each['loc'])) or 'line'}: {each['msg']}")
            return None
        except (RecursionError, MemoryError):
            self._mistake(number, "nested too deeply")
            return None
        except ValueError as error:
            self._mistake(number, str(error))
            return None
        self._check_against_others(number, problem)
        return problem if self._num_errors == before else None

    def _check_against_others(self, number: int, problem: Problem) -> None:
        first = self._ids.setdefault(problem.id, number)
        if first != number:
            self._mistake(number, f"id {problem.id!r} is used twice, first in line {first}")
        if self._families.setdefault(problem.family, problem.split) is not problem.split:
            self._mistake(number, f"family {problem.family!r} is in both splits")
        if len(self._ids) > MAX_PROBLEMS:
            self._mistake(number, f"more than {MAX_PROBLEMS} problems")
            self._num_errors = max(self._num_errors, MAX_ERRORS)

    def _count(self, number: int, problem: Problem, offset: int, size: int) -> None:
        self._rows.append(IndexRow(ref_of(problem), offset, size))
        self._lines.append(number)
        self._num_solutions += problem.solution is not None or bool(problem.wrong_solutions)
        kinds = (problem.split.value, problem.difficulty.value, problem.style, problem.trust.value)
        for counter, kind in zip(self._counts.values(), kinds, strict=False):
            counter[kind] += 1
        self._counts["tag"].update(set(problem.tags))

    def _mistake(self, number: int, text: str) -> None:
        self._num_errors += 1
        if len(self._errors) < MAX_SHOWN_ERRORS:
            self._errors.append(f"line {number}: {_short(text)}")

    def _problem_counts(self) -> ProblemCounts:
        by = {f"by_{name}": dict(sorted(counter.items())) for name, counter in self._counts.items()}
        return ProblemCounts.model_validate({"problems": len(self._rows), "families": len(self._families), **by})

    def _notes(self) -> Iterator[str]:
        split, trust = self._counts["split"], self._counts["trust"]
        if len(self._rows) == 1:
            yield "one problem: there is nothing to tell learning from memory by, and an epoch is one group"
        if not split["heldout"]:
            yield "nothing is held out: a run needs evaluation.num_problems 0"
        if self._rows and not split["train"]:
            yield "everything is held out: a run has nothing to train on"
        if trust["weak"]:
            yield f"{trust['weak']} problems have weak trust: their tests share a process with the candidate's code"


def take_in(
    source: Path,
    folder: Path,
    heldout_fraction: float,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Check `source` and write the canonical copy and its index into `folder`; errors are in the report.

    Raises OSError as the disk does.
    """
    return _Intake(source, folder, heldout_fraction, tell).run()


def _completed(fields: dict[str, Any], plan: dict[str, Split]) -> Problem:
    """With the defaults of an upload: a family of its own, medium, and the split that its family has."""
    fields.setdefault("family", fields.get("id"))
    fields.setdefault("difficulty", Difficulty.MEDIUM.value)
    if fields.get("split") is None:
        fields["split"] = plan.get(str(fields["family"]), Split.TRAIN)
    return Problem.model_validate(fields)


def _object(line: bytes) -> dict[str, Any]:
    """A line as a JSON object. Raises ValueError, saying where the line stops being one."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error.reason} at byte {error.start}") from error
    try:
        fields: object = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    return cast("dict[str, Any]", fields)


def _skip_line(source: BinaryIO) -> int:
    skipped = 0
    while part := source.readline(1 << 20):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


def _short(text: str) -> str:
    return text if len(text) <= 400 else text[:397] + "..."


def _main(arguments: list[str]) -> None:
    source, folder, heldout_fraction = arguments
    with contextlib.suppress(OSError):
        os.nice(10)
    with contextlib.suppress(ValueError, OSError):  # a lower limit of the host stays
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    try:
        report = take_in(Path(source), Path(folder), float(heldout_fraction), _tell)
        (Path(folder) / REPORT_FILE).write_bytes(report.model_dump_json().encode())
    except OSError as error:
        _say({"errno": error.errno or 0})


def _tell(done: int, total: int) -> None:
    _say({"done": done, "total": total})


def _say(message: dict[str, int]) -> None:
    sys.stdout.buffer.write(orjson.dumps(message) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    _main(sys.argv[1:])
