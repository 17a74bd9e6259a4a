"""APPS (arXiv:2105.09938): `question`, `solutions` and `input_output` (JSON texts), `difficulty`, `starter_code`.

`input_output` has `inputs` and `outputs`, and `fn_name` when a function is asked for. Published checkers accept an
output as it is written or, when it is a list of one, its item; so do ours.
"""

import json
from typing import Any, cast

from skyscale.envs.importers.functions import PROGRAM, assertions, plain_solution, prompt_for
from skyscale.envs.importers.rows import Line, Row, id_of, list_of, tested, text_of, within_size

_DIFFICULTY = {"introductory": "easy", "interview": "medium", "competition": "hard"}


def convert(row: Row) -> Line:
    """One problem. Raises ValueError."""
    tests: dict[str, Any] = json.loads(row["input_output"]) if isinstance(row.get("input_output"), str) else {}
    tests = tests or cast("dict[str, Any]", row.get("input_output") or {})
    inputs, outputs = list_of(tests, "inputs"), list_of(tests, "outputs")
    if not inputs or len(inputs) != len(outputs):
        raise ValueError("no inputs with outputs")
    question = text_of(row, "question")
    solutions = [str(each) for each in list_of(row, "solutions")]
    line: Line = {
        "id": id_of("apps", row.get("problem_id", row.get("id"))),
        "difficulty": _DIFFICULTY.get(str(row.get("difficulty")), "medium"),
        "tags": ["apps"],
    }
    name = tests.get("fn_name")
    if not name:
        cases = [{"stdin": _joined(i), "stdout": _joined(o)} for i, o in zip(inputs, outputs, strict=True)]
        solved = {"solution": solutions[0]} if solutions else {}
        tests_kept = within_size(cases, ("stdin", "stdout"))
        return line | solved | {"prompt": question.strip() + PROGRAM, "style": "stdin", "stdin_tests": tests_kept}
    pairs = [(_arguments(i), _accepted(o)) for i, o in zip(inputs, outputs, strict=True)]
    line["prompt"] = prompt_for(question, str(row.get("starter_code") or ""), name)
    if solutions:
        line["solution"] = plain_solution(solutions[0], name)
    return tested(line, name, assertions(name, pairs))


def _arguments(given: object) -> list[object]:
    return cast("list[object]", given) if isinstance(given, list) else [given]


def _accepted(output: object) -> list[object]:
    items = cast("list[object]", output) if isinstance(output, list) else []
    return [output, items[0]] if len(items) == 1 else [output]


def _joined(part: object) -> str:
    """Some inputs are lists of lines."""
    return "\n".join(map(str, cast("list[object]", part))) if isinstance(part, list) else str(part)
