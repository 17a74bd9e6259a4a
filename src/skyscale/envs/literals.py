"""Constant expressions of test lines, evaluated without executing anything.

Literals, the builtin constructors over them (`set([1])`, `float('inf')`, `list(range(3))`, `dict(a=1)`) and small
arithmetic (`10**9`, `[0] * 100`). What is made larger than it is written is paid for from a budget, item by item and
nested ones too, so a line cannot make the control plane work or grow.
"""

import ast
import operator
from collections.abc import Callable, Sequence, Sized
from typing import Any, cast

MAX_ITEMS = 100_000
"""Characters, and items of containers with those inside them, that a test line may make."""
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


class Budget:
    """What the constants of one line may still make."""

    def __init__(self) -> None:
        self._left = MAX_ITEMS

    def spend(self, num_items: int) -> None:
        """Raises ValueError when there is not so much left."""
        self._left -= num_items
        if self._left < 0:
            raise ValueError(f"too large: more than {MAX_ITEMS} items")


def constant(node: ast.expr, budget: Budget | None = None) -> object:
    """The value of a constant expression; several of one line share a budget.

    Raises:
        ValueError: it is not one, or too large.
    """
    try:
        value = _Evaluation(budget or Budget()).value(node)
    except (TypeError, ArithmeticError, RecursionError, MemoryError, KeyError) as error:
        raise ValueError(f"not a constant: {error}") from error
    if isinstance(value, range):
        raise ValueError("a range is not plain data")
    return value


class _Evaluation:
    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and node.value is not Ellipsis:
            return node.value
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            items = [self.value(item) for item in node.elts]
            return items if isinstance(node, ast.List) else tuple(items) if isinstance(node, ast.Tuple) else set(items)
        if isinstance(node, ast.Dict) and None not in node.keys:
            pairs = zip(cast("list[ast.expr]", node.keys), node.values, strict=True)
            return {self.value(key): self.value(value) for key, value in pairs}
        if isinstance(node, ast.UnaryOp):
            return _SIGNS[type(node.op)](self.value(node.operand))
        if isinstance(node, ast.BinOp):
            return self._folded(type(node.op), self.value(node.left), self.value(node.right))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return self._constructed(node.func.id, node)
        raise ValueError(f"{ast.unparse(node)} is not a literal")

    def _constructed(self, name: str, node: ast.Call) -> Any:
        arguments = [self.value(argument) for argument in node.args]
        keywords = {keyword.arg: self.value(keyword.value) for keyword in node.keywords if keyword.arg is not None}
        if len(keywords) != len(node.keywords) or (keywords and name != "dict"):
            raise ValueError(f"{ast.unparse(node)} is not a literal")
        for argument in arguments:
            if isinstance(argument, Sized):
                self._budget.spend(len(argument))
        return _CONSTRUCTORS[name](*arguments, **keywords)

    def _folded(self, kind: type[ast.operator], left: Any, right: Any) -> Any:
        for one, other in ((left, right), (right, left)):
            if isinstance(one, str | bytes | list | tuple):
                one = cast("Sequence[object]", one)
                if kind not in (ast.Mult, ast.Add):
                    raise ValueError("not arithmetic of constants")
                self._budget.spend(_num_items(one) * max(other, 0) if kind is ast.Mult else len(one))
        bits = left.bit_length() * right if isinstance(left, int) and isinstance(right, int) else 0
        if kind is ast.Pow and bits > _MAX_BITS:
            raise ValueError("too large a power")
        return _OPERATORS[kind](left, right)


def _num_items(value: object) -> int:
    """Characters, or items and those inside them; an empty item counts too."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(max(1, _num_items(part)) for item in cast("dict[object, object]", value).items() for part in item)
    if isinstance(value, list | tuple | set | frozenset):
        return sum(max(1, _num_items(item)) for item in cast("list[object]", value))
    return 1
