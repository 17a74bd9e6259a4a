"""MBPP (arXiv:2108.07732), full and sanitized: `text` or `prompt`, `code`, `test_list`, and set-up code or imports.

The function's name is nowhere but in the tests, so the prompt says it, with the first test as an example.
"""

import ast
from collections import Counter

from skyscale.envs.importers.rows import Line, Row, id_of, list_of, tested, text_of


def convert(row: Row) -> Line:
    """One problem. Raises ValueError."""
    code = text_of(row, "code").replace("\r\n", "\n")
    tests = [str(test).strip() for test in list_of(row, "test_list")]
    if not tests:
        raise ValueError("no test_list")
    entry_point = _entry_point(code, tests)
    setup = "\n".join([str(row.get("test_setup_code") or ""), *map(str, list_of(row, "test_imports"))]).strip()
    task = text_of(row, "text", "prompt").strip()
    line: Line = {
        "id": id_of("mbpp", row.get("task_id")),
        "prompt": f"{task}\nThe function is called `{entry_point}`. It must satisfy, for example:\n{tests[0]}",
        "solution": code,
        "tags": ["mbpp"],
    }
    return tested(line, entry_point, tests, setup)


def _entry_point(code: str, tests: list[str]) -> str:
    """The function of the reference solution that the tests call most."""
    defined = {node.name for node in _parsed(code).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    calls = Counter(
        node.func.id
        for test in tests
        for node in ast.walk(_parsed(test))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defined
    )
    if not calls:
        raise ValueError("the tests call no function of the solution")
    return calls.most_common(1)[0][0]


def _parsed(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"not Python: {error}") from error
