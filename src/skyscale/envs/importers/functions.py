"""Judge-site problems whose tests are argument lists: as assertions on a plain function.

Published solutions and starters define a method of `class Solution`; we ask for a plain function of that name, and put
one in front of a reference solution that has the class.
"""

import ast
from collections.abc import Sequence

from skyscale.envs.importers.rows import MAX_TEST_CHARS


def assertions(name: str, cases: Sequence[tuple[Sequence[object], Sequence[object]]]) -> list[str]:
    """`assert name(*arguments) == expected` for each case; several expected values mean any of them.

    Raises ValueError when a name is none, or a value has no literal.
    """
    if not name.isidentifier():
        raise ValueError(f"{name!r} is no function name")
    lines: list[str] = []
    total = 0
    for arguments, accepted in cases:
        call = f"{name}({', '.join(map(literal, arguments))})"
        values = [literal(value) for value in accepted]
        lines.append(f"assert {call} == {values[0]}" if len(values) == 1 else f"assert {call} in ({', '.join(values)})")
        total += len(lines[-1])
        if total > MAX_TEST_CHARS and len(lines) > 1:
            return lines[:-1]
    return lines


def literal(value: object) -> str:
    """The value as Python that evaluates to it without executing anything."""
    text = repr(value)
    if text in ("inf", "-inf", "nan") or (isinstance(value, float) and text.endswith(("inf", "nan"))):
        return f"float({text!r})"
    return text


def plain_solution(code: str, name: str) -> str:
    """A reference solution that defines `name` at the top level."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"the solution is not Python: {error}") from error
    is_method = any(isinstance(s, ast.ClassDef) and s.name == "Solution" for s in body)
    if is_method and not any(isinstance(s, ast.FunctionDef) and s.name == name for s in body):
        return f"{code.rstrip()}\n\n\ndef {name}(*arguments):\n    return Solution().{name}(*arguments)\n"
    return code


def prompt_for(question: str, starter: str, name: str) -> str:
    """The task, with the function that is asked for."""
    shown = f"\n\nStarter code:\n{starter.strip()}" if starter.strip() else ""
    return f"{question.strip()}{shown}\n\nWrite a plain function `{name}` with these arguments, outside of any class."


PROGRAM = "\n\nWrite a Python program that reads from standard input and prints the answer."
