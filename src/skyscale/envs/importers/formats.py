"""Every format by name, a whole source converted: which rows became what, and which could not be.

Sources are JSONL files, JSON arrays, or `hf:<id>[:<config>]` through the `datasets` package (the extra `datasets`).
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from skyscale.envs.importers.apps import convert as apps
from skyscale.envs.importers.gsm8k import convert as gsm8k
from skyscale.envs.importers.humaneval import convert as humaneval
from skyscale.envs.importers.livecodebench import convert as livecodebench
from skyscale.envs.importers.mbpp import convert as mbpp
from skyscale.envs.importers.rows import Line, Row
from skyscale.envs.registry import mistakes_of
from skyscale.envs.test_code import plan_for
from skyscale.errors import Invalid, Unavailable
from skyscale.wire.problems import Problem, Trust

FORMATS: dict[str, Callable[[Row], Line]] = {
    "humaneval": humaneval,
    "mbpp": mbpp,
    "apps": apps,
    "livecodebench": livecodebench,
    "gsm8k": gsm8k,
}
HUB = "hf:"
MAX_REASONS = 20


@dataclass(slots=True)
class Outcome:
    """What became of the rows of a source."""

    kinds: Counter[str] = field(default_factory=Counter[str])
    """`calls`, `stdin`, `answer`, `asserts (rewritten)`, `asserts (proxied)`, `trust: weak`."""
    skipped: int = 0
    reasons: list[str] = field(default_factory=list[str])
    """Of the first skipped rows."""


def converted(rows: Iterable[Row], format_name: str, outcome: Outcome) -> Iterator[Line]:
    """Checked lines of our format; `outcome` is filled on the way. Raises Invalid for an unknown format."""
    convert = FORMATS.get(format_name)
    if convert is None:
        raise Invalid(f"format {format_name!r} is unknown; known are {', '.join(FORMATS)}")
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        try:
            line = convert(row)
            kind = _checked(line)
            if line["id"] in seen:
                raise ValueError(f"id {line['id']!r} was there before")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            outcome.skipped += 1
            if len(outcome.reasons) < MAX_REASONS:
                outcome.reasons.append(f"row {number}: {_reason(error)}")
            continue
        seen.add(line["id"])
        outcome.kinds[kind] += 1
        yield line


def rows_of(source: str, split: str | None = None) -> Iterator[Row]:
    """The rows of a file or of a data set of the Hugging Face hub. Raises Invalid, Unavailable."""
    if source.startswith(HUB):
        return _hub_rows(source.removeprefix(HUB), split)
    return _file_rows(Path(source))


def _checked(line: Line) -> str:
    """What kind of problem a line is. Raises ValueError when it would be refused."""
    defaults = {"family": line.get("id"), "difficulty": "medium", "split": "train"}
    problem = Problem.model_validate(defaults | line)
    mistakes = list(mistakes_of(problem))
    if mistakes:
        raise ValueError("; ".join(mistakes))
    if problem.trust is Trust.WEAK:
        return "trust: weak"
    if problem.style != "asserts":
        return problem.style
    return "asserts (rewritten)" if plan_for(problem).is_rewritten else "asserts (proxied)"


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    text = f"no field {error}" if isinstance(error, KeyError) else str(error)
    return text.replace("\n", " ")[:200] or type(error).__name__


def _file_rows(path: Path) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8-sig") as source:
            is_array = source.read(1).strip() == "["
            source.seek(0)
            if is_array:
                yield from cast("list[Row]", json.load(source))
                return
            for number, line in enumerate(source, 1):
                if line.strip():
                    yield _object(line, number)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Invalid(f"{path}: {error}") from error


def _object(line: str, number: int) -> Row:
    try:
        row: object = json.loads(line)
    except json.JSONDecodeError as error:
        raise Invalid(f"line {number} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise Invalid(f"line {number} is not a JSON object")
    return cast("dict[str, Any]", row)


def _hub_rows(name: str, split: str | None) -> Iterator[Row]:
    try:
        load: Callable[..., Any] = import_module("datasets").load_dataset
    except ImportError as error:
        raise Unavailable(
            "reading from the Hugging Face hub needs the package `datasets`",
            code="extra_missing", hint="pip install 'skyscale[datasets]', or download the file and name it instead.",
        ) from error  # fmt: skip
    dataset, _, config = name.partition(":")
    try:
        return iter(load(dataset, config or None, split=split or "test", streaming=True))
    except Exception as error:  # whatever a network, a hub or a script of theirs raises
        raise Unavailable(
            f"the data set {dataset!r} cannot be had: {type(error).__name__}: {str(error)[:300]}",
            code="dataset_unavailable", hint="Check the id, --split and the network, or download the file.",
        ) from error  # fmt: skip
