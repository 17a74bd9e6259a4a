"""HumanEval (arXiv:2107.03374): `prompt`, `canonical_solution`, `entry_point`, `test` with `check(candidate)`.

The prompt is the head of a module: imports, perhaps helpers, and the function to complete. Tests may use the helpers,
so what stands before the function is put before the tests where they need it.
"""

import ast

from skyscale.envs.importers.rows import Line, Row, id_of, text_of, with_test_code
from skyscale.envs.test_code import plan_of


def convert(row: Row) -> Line:
    """One problem. Raises ValueError."""
    prompt, entry_point = text_of(row, "prompt"), text_of(row, "entry_point")
    test = text_of(row, "test")
    line: Line = {
        "id": id_of("humaneval", text_of(row, "task_id")),
        "prompt": "Complete this Python function; answer with the whole program.\n\n" + prompt.strip() + "\n",
        "solution": prompt + text_of(row, "canonical_solution"),
        "tags": ["humaneval"],
    }
    return with_test_code(line, entry_point, _self_contained(test, prompt, entry_point))


def _self_contained(test: str, prompt: str, entry_point: str) -> str:
    try:
        plan_of(test, entry_point)
    except ValueError:
        helpers = _before(prompt, entry_point)
        return f"{helpers}\n\n{test}" if helpers else test
    return test


def _before(prompt: str, entry_point: str) -> str:
    """What the prompt defines before the function to complete."""
    try:
        body = ast.parse(prompt + "\n    pass\n").body
    except SyntaxError:
        return ""
    defined = [s for s in body if not (isinstance(s, ast.FunctionDef) and s.name == entry_point)]
    return "\n".join(map(ast.unparse, defined))
