"""Test lines as data: `assert f(literals) == literal` becomes (function, encoded arguments, expectation).

Lines are parsed and never executed. The forms: `assert f(a) == x`, `assert x == f(a)`, `assert f(a) is None` (True,
False), `assert f(a)`, `assert not f(a)`; a message after a comma is ignored. Equality is exact in types and tolerant in
floats, as `sandboxes.encoding` states: `1 == 1.0` fails, `0.1 + 0.2 == 0.3` passes.
"""

import ast
from dataclasses import dataclass
from enum import StrEnum

from skyscale.sandboxes.encoding import encode, same_value

_EMPTY: tuple[object, ...] = (None, False, 0, 0.0, -0.0, 0j, "", b"", [], (), {}, set[object](), frozenset[object]())
_FALSY = frozenset(map(encode, _EMPTY))


class Expectation(StrEnum):
    """How the returned value is judged."""

    EQUAL = "equal"
    TRUTHY = "truthy"
    FALSY = "falsy"


@dataclass(frozen=True, slots=True)
class Assertion:
    """One parsed test line."""

    entry_point: str
    arguments: str
    """The encoded tuple of positional arguments: what the sandbox is told."""
    expectation: Expectation
    expected: str = ""
    """The encoded expected value, for `equal`: what the sandbox is never told."""

    def accepts(self, value: str) -> bool:
        """Whether an encoded value, perhaps a hostile text, passes."""
        if self.expectation == Expectation.EQUAL:
            return same_value(value, self.expected)
        return (value in _FALSY) == (self.expectation == Expectation.FALSY)


def parse_assertion(line: str) -> Assertion:
    """The test that a line states.

    Raises:
        ValueError: what about the line is not understood.
    """
    condition = _condition(line)
    if isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not):
        return _assertion(condition.operand, Expectation.FALSY, line)
    if isinstance(condition, ast.Call):
        return _assertion(condition, Expectation.TRUTHY, line)
    if not isinstance(condition, ast.Compare) or len(condition.ops) != 1:
        raise ValueError(f"not a comparison of a call with a literal: {line!r}")
    left, operator, right = condition.left, condition.ops[0], condition.comparators[0]
    if isinstance(operator, ast.Eq) and not isinstance(left, ast.Call):
        left, right = right, left
    if isinstance(operator, ast.Is) and not _is_singleton(right):
        raise ValueError(f"`is` is for None, True and False: {line!r}")
    if not isinstance(operator, ast.Eq | ast.Is):
        raise ValueError(f"only == and `is` are understood: {line!r}")
    return _assertion(left, Expectation.EQUAL, line, encode(_literal(right, line)))


def _condition(line: str) -> ast.expr:
    try:
        body = ast.parse(line.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"not Python: {line!r}") from error
    if len(body) != 1 or not isinstance(body[0], ast.Assert):
        raise ValueError(f"not one assert statement: {line!r}")
    return body[0].test


def _assertion(call: ast.expr, expectation: Expectation, line: str, expected: str = "") -> Assertion:
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(f"no call of a plain function name: {line!r}")
    if call.keywords:
        raise ValueError(f"keyword arguments are not understood: {line!r}")
    arguments = tuple(_literal(argument, line) for argument in call.args)
    return Assertion(call.func.id, encode(arguments), expectation, expected)


def _literal(node: ast.expr, line: str) -> object:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"{ast.unparse(node)} is not a literal: {line!r}") from error


def _is_singleton(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool))
