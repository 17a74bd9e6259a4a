"""Constant expressions of test lines, evaluated without executing anything.

Literals, the builtin constructors over them (`set([1])`, `float('inf')`, `list(range(3))`, `dict(a=1)`) and small
arithmetic (`10**9`, `[0] * 100`). Sizes are bounded, so a line cannot make the control plane work or grow.
"""

import ast
import operator
from collections.abc import Callable
from typing import Any, cast

MAX_ITEMS = 100_000
_MAX_BITS = 65_536
_CONSTRUCTORS: dict[str, Callable[..., Any]] = {
    "set": set, "frozenset": frozenset, "tuple": tuple, "list": list, "dict": dict, "float": float, "int": int,
    "complex": complex, "range": range, "bool": bool,
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Pow: pow,
    ast.FloorDiv: lambda a, b: a // b, ast.Div: lambda a, b: a / b, ast.Mod: operator.mod,
}  # fmt: skip
_SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}


def constant(node: ast.expr) -> object:
    """The value of a constant expression.

    Raises:
        ValueError: it is not one, or too large.
    """
    try:
        value = _value(node)
    except (TypeError, ArithmeticError, RecursionError, MemoryError, KeyError) as error:
        raise ValueError(f"not a constant: {error}") from error
    if isinstance(value, range):
        raise ValueError("a range is not plain data")
    return value


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and node.value is not Ellipsis:
        return node.value
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        items = [_value(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items) if isinstance(node, ast.Tuple) else set(items)
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_value(cast("ast.expr", k)): _value(v) for k, v in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.UnaryOp):
        return _SIGNS[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp):
        return _folded(type(node.op), _value(node.left), _value(node.right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _constructed(node.func.id, node)
    raise ValueError(f"{ast.unparse(node)} is not a literal")


def _constructed(name: str, node: ast.Call) -> Any:
    arguments = [_value(argument) for argument in node.args]
    keywords = {keyword.arg: _value(keyword.value) for keyword in node.keywords if keyword.arg is not None}
    if len(keywords) != len(node.keywords) or (keywords and name != "dict"):
        raise ValueError(f"{ast.unparse(node)} is not a literal")
    for argument in arguments:
        if isinstance(argument, range) and len(argument) > MAX_ITEMS:
            raise ValueError("too large a range")
    return _CONSTRUCTORS[name](*arguments, **keywords)


def _folded(kind: type[ast.operator], left: Any, right: Any) -> Any:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, str | bytes | list | tuple):
            size = len(cast("list[object]", one))
            if kind is ast.Mult and isinstance(other, int) and size * other > MAX_ITEMS:
                raise ValueError("too large a repetition")
            if kind not in (ast.Mult, ast.Add):
                raise ValueError("not arithmetic of constants")
    if kind is ast.Pow and isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > _MAX_BITS:
        raise ValueError("too large a power")
    return _OPERATORS[kind](left, right)
