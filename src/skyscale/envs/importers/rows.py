"""What converters share: reading fields of rows that anybody may have written, ids, and the style that tests allow."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from skyscale.envs.assertions import parse_assertion
from skyscale.envs.test_code import plan_of

Row = Mapping[str, Any]
Line = dict[str, Any]
"""Fields of a problem."""
MAX_TEST_CHARS = 200_000
"""Tests of one problem beyond this are left out; the first one always stays."""


def text_of(row: Row, *names: str) -> str:
    """The first of these fields that is there. Raises ValueError when none is a text."""
    for name in names:
        if isinstance(row.get(name), str) and row[name].strip():
            return row[name]
    raise ValueError(f"no text in {' or '.join(names)}")


def list_of(row: Row, name: str) -> list[Any]:
    """A list, also one that is written as JSON; empty when there is none. Raises ValueError for something else."""
    value: object = row.get(name)
    if isinstance(value, str):
        value = json.loads(value) if value.strip() else []
    if value is None:
        return []
    if not isinstance(value, Sequence):
        raise ValueError(f"{name} is not a list")
    return list(cast("Sequence[Any]", value))


def id_of(prefix: str, raw: object) -> str:
    """An id of ours from one of theirs: `HumanEval/0` becomes `humaneval-0`."""
    plain = re.sub(r"[^a-z0-9_.]+", "-", str(raw).lower()).strip("-")
    named = plain if plain.startswith(prefix) else f"{prefix}-{plain}"
    if not plain:
        raise ValueError("no id")
    return named[:80]


def tested(line: Line, entry_point: str, asserts: Sequence[str], setup: str = "") -> Line:
    """The line with its tests: as calls where every assertion is plain, else as test code, weak where it must be.

    Raises ValueError for what cannot be tested at all.
    """
    if not setup.strip() and asserts and all(_is_plain(each, entry_point) for each in asserts):
        return line | {"style": "calls", "entry_point": entry_point, "test_cases": list(asserts)}
    return with_test_code(line, entry_point, "\n".join([setup.strip(), *asserts]).strip() + "\n")


def with_test_code(line: Line, entry_point: str, test_code: str) -> Line:
    """The line with test code; `trust` is weak where the code needs one process with the candidate's."""
    found = line | {"style": "asserts", "entry_point": entry_point, "test_code": test_code}
    try:
        plan_of(test_code, entry_point)
    except ValueError:
        plan_of(test_code, entry_point, is_weak=True)
        return found | {"trust": "weak"}
    return found


def within_size(tests: Sequence[Line], size_of: tuple[str, str]) -> list[Line]:
    """The first tests that fit into `MAX_TEST_CHARS` together."""
    kept: list[Line] = []
    total = 0
    for test in tests:
        total += sum(len(test[name]) for name in size_of)
        if kept and total > MAX_TEST_CHARS:
            break
        kept.append(test)
    return kept


def _is_plain(case: str, entry_point: str) -> bool:
    try:
        return parse_assertion(case).entry_point == entry_point
    except ValueError:
        return False
