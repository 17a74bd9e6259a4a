"""LiveCodeBench (arXiv:2403.07974), code generation: `question_content`, `starter_code`, `difficulty`, test cases.

Private tests are published as JSON, or as base64 of zlib of a pickled JSON text. A pickle may execute anything, so it
is read by an unpickler that knows no class and no function, and at most `MAX_PRIVATE_BYTES` are unpacked.
"""

import base64
import binascii
import io
import json
import pickle
import zlib
from typing import Any, NoReturn, cast

from skyscale.envs.importers.functions import PROGRAM, assertions, prompt_for
from skyscale.envs.importers.rows import Line, Row, id_of, list_of, tested, text_of, within_size

MAX_PRIVATE_BYTES = 64 * 1024 * 1024
_DIFFICULTY = {"easy", "medium", "hard"}


def convert(row: Row) -> Line:
    """One problem. Raises ValueError."""
    public = list_of(row, "public_test_cases")
    cases: list[dict[str, str]] = [*public, *_private(row.get("private_test_cases"))]
    if not cases:
        raise ValueError("no test cases")
    question, starter = text_of(row, "question_content"), str(row.get("starter_code") or "")
    level = str(row.get("difficulty"))
    line: Line = {
        "id": id_of("lcb", row.get("question_id")),
        "difficulty": level if level in _DIFFICULTY else "medium",
        "num_examples": len(public),
        "tags": ["livecodebench"],
    }
    if cases[0].get("testtype") != "functional":
        tests = within_size([{"stdin": case["input"], "stdout": case["output"]} for case in cases], ("stdin", "stdout"))
        shown = min(len(public), len(tests))
        return line | {"prompt": question + PROGRAM, "style": "stdin", "stdin_tests": tests, "num_examples": shown}
    name = _name(row)
    lines = assertions(name, [(_arguments(case["input"]), [json.loads(case["output"])]) for case in cases])
    found = tested(line | {"prompt": prompt_for(question, starter, name)}, name, lines)
    shown = min(len(public), len(lines)) if found["style"] == "calls" else 1
    return found | {"num_examples": shown}


def _arguments(text: str) -> list[object]:
    return [json.loads(part) for part in text.splitlines()]


def _name(row: Row) -> str:
    metadata: object = row.get("metadata")
    fields: object = json.loads(metadata) if isinstance(metadata, str) and metadata else metadata
    name = cast("dict[str, object]", fields).get("func_name") if isinstance(fields, dict) else None
    if not isinstance(name, str):
        raise ValueError("metadata has no func_name")
    return name


def _private(packed: object) -> list[Any]:
    if packed is None or packed == "":
        return []
    if not isinstance(packed, str):
        return list_of({"private_test_cases": packed}, "private_test_cases")
    if packed.lstrip().startswith("["):
        return list_of({"private_test_cases": packed}, "private_test_cases")
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(base64.b64decode(packed, validate=True), MAX_PRIVATE_BYTES)
        if unpacker.unconsumed_tail:
            raise ValueError(f"private_test_cases unpack to more than {MAX_PRIVATE_BYTES} bytes")
        found: object = _PlainUnpickler(io.BytesIO(raw)).load()
    except (binascii.Error, zlib.error, pickle.UnpicklingError, EOFError, IndexError, MemoryError) as error:
        raise ValueError(f"private_test_cases cannot be unpacked: {error}") from error
    return list_of({"private_test_cases": found}, "private_test_cases")


class _PlainUnpickler(pickle.Unpickler):
    """Reads texts, numbers and lists of them."""

    def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
        raise pickle.UnpicklingError(f"{module_name}.{global_name} is not plain data")
