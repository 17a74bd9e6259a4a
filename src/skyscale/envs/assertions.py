"""Test lines as data: `assert f(constants) == constant` becomes (function, encoded arguments, expectation).

Lines are parsed and never executed. With C for a constant expression (`literals.py`) and `f(...)` for a call with
constant arguments, positional or by keyword, the forms are

    f(...) == C     C == f(...)     f(...) is None|True|False     f(...)     not f(...)
    f(...) != C                     C of numbers, or of texts, None and containers of them
    f(...) is not None              f(...) in (C, ...)
    math.isclose(f(...), C, rel_tol=C, abs_tol=C)                 abs(f(...) - C) < C, and <=
    round(f(...), C) == C

A message after a comma is ignored. Equality is exact in types and tolerant in floats, as `sandboxes.encoding` states:
`1 == 1.0` fails, `0.1 + 0.2 == 0.3` passes. The forms with a tolerance of their own take any real number.
"""

import ast
import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import cast

from skyscale.envs.literals import Budget, constant
from skyscale.sandboxes.encoding import Unsupported, encode, number_of, same_value

_EMPTY: tuple[object, ...] = (None, False, 0, 0.0, -0.0, 0j, "", b"", [], (), {}, set[object](), frozenset[object]())
_FALSY = frozenset(map(encode, _EMPTY))
_ISCLOSE = ("math.isclose", "isclose")
_REMEMBERED, _REMEMBERED_CHARS = 8192, 500
"""Lines that are parsed once, when their problem is checked, and not again when it is judged: some 20 MB."""
_GROWING = ("*", "range")
"""What makes values far larger than the line that states them: such a line is not remembered."""


class Expectation(StrEnum):
    """How the returned value is judged."""

    EQUAL = "equal"
    TRUTHY = "truthy"
    FALSY = "falsy"
    DIFFERENT = "different"
    ONE_OF = "one_of"
    CLOSE = "close"
    """A real number within `tolerances` of the expected one."""
    ROUNDED = "rounded"
    """A real number that is the expected one after `round` to `digits`."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """One parsed test line."""

    entry_point: str
    arguments: str
    """The encoded tuple of positional arguments, or list of that and a dict of keywords: what the sandbox is told."""
    expectation: Expectation
    expected: str = ""
    """The encoded expected value: what the sandbox is never told."""
    choices: tuple[str, ...] = ()
    """For `one_of`: the encoded values."""
    number: float = 0.0
    """For `different` from a number, `close` and `rounded`: the expected number."""
    tolerances: tuple[float, float] = (0.0, 0.0)
    """For `close`: relative and absolute. For `abs(..) < eps` the relative one is 0."""
    is_strict: bool = False
    """For `close`: the difference is less than the tolerance, not equal to it."""
    digits: int = 0

    def accepts(self, value: str) -> bool:
        """Whether an encoded value, perhaps a hostile text, passes."""
        match self.expectation:
            case Expectation.EQUAL:
                return same_value(value, self.expected)
            case Expectation.ONE_OF:
                return any(same_value(value, choice) for choice in self.choices)
            case Expectation.DIFFERENT:
                return self._differs(value)
            case Expectation.CLOSE | Expectation.ROUNDED:
                number = number_of(value)
                return number is not None and self._accepts_number(number)
            case _:
                return (value in _FALSY) == (self.expectation == Expectation.FALSY)

    def _differs(self, value: str) -> bool:
        if not self.expected:  # from a number: any other number, or no number at all
            number = number_of(value)
            return not value.startswith('{"c":') if number is None else number != self.number
        return value != self.expected

    def _accepts_number(self, number: float) -> bool:
        if self.expectation == Expectation.ROUNDED:
            return math.isfinite(number) and math.isclose(
                round(number, self.digits), self.number, rel_tol=1e-12, abs_tol=1e-12
            )
        relative, absolute = self.tolerances
        if relative == 0.0 and math.isfinite(number):
            difference = abs(number - self.number)
            return difference < absolute if self.is_strict else difference <= absolute
        return math.isclose(number, self.number, rel_tol=relative, abs_tol=absolute)


def parse_assertion(line: str) -> Assertion:
    """The test that a line states.

    Raises:
        ValueError: what about the line is not understood.
    """
    is_small = len(line) <= _REMEMBERED_CHARS and not any(sign in line for sign in _GROWING)
    return _remembered(line) if is_small else _parsed(line)


def _parsed(line: str) -> Assertion:
    return assertion_of(_condition(line), line)


_remembered = lru_cache(maxsize=_REMEMBERED)(_parsed)


def assertion_of(condition: ast.expr, line: str) -> Assertion:
    """The same for the condition of a parsed assert statement; `line` is for the message."""
    if isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not):
        return _assertion(condition.operand, Expectation.FALSY, line)
    if isinstance(condition, ast.Call):
        if ast.unparse(condition.func) in _ISCLOSE and any(isinstance(part, ast.Call) for part in condition.args):
            return _isclose(condition, line)
        return _assertion(condition, Expectation.TRUTHY, line)
    if not isinstance(condition, ast.Compare) or len(condition.ops) != 1:
        raise ValueError(f"not a comparison of a call with a literal: {line!r}")
    return _comparison(condition.left, condition.ops[0], condition.comparators[0], line)


def _comparison(left: ast.expr, operator: ast.cmpop, right: ast.expr, line: str) -> Assertion:
    if isinstance(operator, ast.Eq | ast.NotEq) and not isinstance(left, ast.Call):
        left, right = right, left
    if isinstance(operator, ast.Is) and not _is_singleton(right):
        raise ValueError(f"`is` is for None, True and False: {line!r}")
    if isinstance(operator, ast.Lt | ast.LtE) and _is_call_of(left, "abs"):
        return _distance(cast("ast.Call", left), right, line, is_strict=isinstance(operator, ast.Lt))
    if isinstance(operator, ast.Eq) and _is_call_of(left, "round") and _holds_call(left):
        return _rounded(cast("ast.Call", left), right, line)
    if isinstance(operator, ast.In) and isinstance(right, ast.List | ast.Tuple | ast.Set):
        budget = Budget()
        choices = tuple(_encoded(_literal(item, line, budget), line) for item in right.elts)
        return _assertion(left, Expectation.ONE_OF, line, choices=choices)
    if isinstance(operator, ast.IsNot) and isinstance(right, ast.Constant) and right.value is None:
        return _assertion(left, Expectation.DIFFERENT, line, "null")
    if isinstance(operator, ast.NotEq):
        return _different(left, _literal(right, line), line)
    if not isinstance(operator, ast.Eq | ast.Is):
        raise ValueError(f"only == and `is` are understood, and tolerances: {line!r}")
    return _assertion(left, Expectation.EQUAL, line, _encoded(_literal(right, line), line))


def _different(call: ast.expr, expected: object, line: str) -> Assertion:
    if type(expected) in (int, float):
        return _assertion(call, Expectation.DIFFERENT, line, number=_number(expected, line))
    if not _is_free_of_numbers(expected):
        raise ValueError(f"!= is for numbers, and for values without any: {line!r}")
    return _assertion(call, Expectation.DIFFERENT, line, _encoded(expected, line))


def _is_free_of_numbers(value: object) -> bool:
    """Python finds 1, 1.0 and True equal, the texts do not; without numbers both agree."""
    if isinstance(value, list | tuple):
        return all(map(_is_free_of_numbers, cast("list[object]", value)))
    if isinstance(value, dict):
        return all(_is_free_of_numbers(part) for item in cast("dict[object, object]", value).items() for part in item)
    return value is None or isinstance(value, str | bytes)


def _isclose(call: ast.Call, line: str) -> Assertion:
    named = {keyword.arg: _number(_literal(keyword.value, line), line) for keyword in call.keywords}
    if len(call.args) != 2 or not named.keys() <= {"rel_tol", "abs_tol"} or any(t < 0 for t in named.values()):
        raise ValueError(f"not math.isclose of a call and a number: {line!r}")
    inner, number = _call_and_number(call.args[0], call.args[1], line)
    tolerances = named.get("rel_tol", 1e-9), named.get("abs_tol", 0.0)
    return _assertion(inner, Expectation.CLOSE, line, number=number, tolerances=tolerances)


def _distance(call: ast.Call, limit: ast.expr, line: str, *, is_strict: bool) -> Assertion:
    inside = call.args[0] if len(call.args) == 1 and not call.keywords else None
    if not isinstance(inside, ast.BinOp) or not isinstance(inside.op, ast.Sub):
        raise ValueError(f"not the distance of a call from a number: {line!r}")
    inner, number = _call_and_number(inside.left, inside.right, line)
    tolerances = 0.0, _number(_literal(limit, line), line)
    return _assertion(inner, Expectation.CLOSE, line, number=number, tolerances=tolerances, is_strict=is_strict)


def _rounded(call: ast.Call, right: ast.expr, line: str) -> Assertion:
    if len(call.args) != 2 or call.keywords:
        raise ValueError(f"not round of a call to literal digits: {line!r}")
    digits = _literal(call.args[1], line)
    if type(digits) is not int or not 0 <= digits <= 15:
        raise ValueError(f"not round of a call to literal digits: {line!r}")
    number = _number(_literal(right, line), line)
    return _assertion(call.args[0], Expectation.ROUNDED, line, number=number, digits=digits)


def _call_and_number(left: ast.expr, right: ast.expr, line: str) -> tuple[ast.expr, float]:
    if not isinstance(left, ast.Call):
        left, right = right, left
    return left, _number(_literal(right, line), line)


def _condition(line: str) -> ast.expr:
    try:
        body = ast.parse(line.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"not Python: {line!r}") from error
    if len(body) != 1 or not isinstance(body[0], ast.Assert):
        raise ValueError(f"not one assert statement: {line!r}")
    return body[0].test


def _assertion(
    call: ast.expr, expectation: Expectation, line: str, expected: str = "", *, choices: tuple[str, ...] = (),
    number: float = 0.0, tolerances: tuple[float, float] = (0.0, 0.0), is_strict: bool = False, digits: int = 0,
) -> Assertion:  # fmt: skip
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(f"no call of a plain function name: {line!r}")
    budget = Budget()
    positional = tuple(_literal(argument, line, budget) for argument in call.args)
    keywords = {keyword.arg: _literal(keyword.value, line, budget) for keyword in call.keywords}
    if None in keywords:
        raise ValueError(f"** is not understood: {line!r}")
    arguments = _encoded([positional, keywords] if keywords else positional, line)
    return Assertion(call.func.id, arguments, expectation, expected, choices, number, tolerances, is_strict, digits)


def _literal(node: ast.expr, line: str, budget: Budget | None = None) -> object:
    try:
        return constant(node, budget)
    except ValueError as error:
        raise ValueError(f"{ast.unparse(node)} is not a literal: {line!r}") from error


def _encoded(value: object, line: str) -> str:
    try:
        return encode(value)
    except Unsupported as error:
        raise ValueError(f"{error}: {line!r}") from error


def _number(value: object, line: str) -> float:
    if type(value) is int and abs(value) < 2**53:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    raise ValueError(f"{value!r} is not a plain number: {line!r}")


def _is_call_of(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _holds_call(node: ast.expr) -> bool:
    """Whether the first argument is itself a call: then `round` is Python's, and not the function under test."""
    return isinstance(node, ast.Call) and bool(node.args) and isinstance(node.args[0], ast.Call)


def _is_singleton(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool))
