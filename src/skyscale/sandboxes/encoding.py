"""The canonical text of plain Python values: one grammar, used on both sides of the sandbox border.

    None, bool, str, int below 2**53    as JSON                      list        [..]
    larger int                          {"i":"0x.."}                 tuple       {"t":[..]}
    float                               {"f":float.hex()}            set         {"s":[..]} sorted by text
    complex                             {"c":[real hex, imag hex]}   frozenset   {"z":[..]} sorted by text
    bytes                               {"b":hex}                    dict        {"d":[[k,v]..]} sorted by key text

- Equal values of equal types have equal texts, so the trusted side compares texts and decodes nothing. Types are exact:
  1, 1.0 and True differ, a subclass is refused. Floats are compared with a relative tolerance (`same_value`).
- The text is ASCII without spaces. Depth is at most `MAX_DEPTH`. There is no text for anything else.
- Standard library only: the zygote imports this file into an interpreter that has nothing else.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any, cast

MAX_DEPTH = 60
"""Deep enough for any literal; far below the recursion limit of the hostile side."""
MAX_CHARS = 16 * 1024 * 1024
REL_TOLERANCE = 1e-9
ABS_TOLERANCE = 1e-12
_PLAIN_INT = 2**53
_FLOAT = re.compile(r'\{"f":"(-?0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,4}|-?0x0\.0p\+0|-?inf|nan)"\}')
_INT = re.compile(r"-?[0-9]{1,16}")
_LONG = re.compile(r'\{"i":"-?0x[0-9a-f]{1,4000}"\}')
_quote: Callable[[str], str] = json.encoder.encode_basestring_ascii


class Unsupported(ValueError):
    """This value has no canonical text."""


def encode(value: object, max_chars: int = MAX_CHARS) -> str:
    """The canonical text of a value.

    Raises:
        Unsupported: a type outside the grammar, nested too deeply, or longer than `max_chars`.
    """
    return _Encoder(max_chars).text(value, 0)


def decode(text: str) -> Any:
    """The value of a canonical text. For texts of our own making: never call it on what a sandbox returned."""
    return _decoded(json.loads(text))


def same_value(actual: str, expected: str) -> bool:
    """Whether two texts stand for the same value, floats within tolerance.

    `actual` may be hostile: it is split at float forms, never parsed. A string cannot imitate a float form, because
    its quotes are escaped. Members of a set of floats are paired in the order of their texts.
    """
    if actual == expected:
        return "nan" not in actual or '{"f":"nan"}' not in actual
    if '{"f":' not in expected:
        return False
    mine, theirs = _FLOAT.split(actual), _FLOAT.split(expected)
    if mine[::2] != theirs[::2]:
        return False
    return all(_close(a, b) for a, b in zip(mine[1::2], theirs[1::2], strict=True))


def number_of(text: str) -> float | None:
    """The real number that a text, perhaps a hostile one, stands for; None for anything else. Booleans are 0 and 1.

    An integer beyond the range of floats is infinite, and one of more than 4000 hexadecimal digits is None.
    """
    if _INT.fullmatch(text):
        return int(text)
    found = _FLOAT.fullmatch(text)
    if found:
        try:
            return float.fromhex(found[1])
        except (ValueError, OverflowError):
            return None
    if len(text) < 4020 and _LONG.fullmatch(text):
        return _as_float(int(text[6:-2], 16))
    return {"true": 1, "false": 0}.get(text)


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _close(actual: str, expected: str) -> bool:
    try:
        a, b = float.fromhex(actual), float.fromhex(expected)
    except (ValueError, OverflowError):
        return False
    return math.isclose(a, b, rel_tol=REL_TOLERANCE, abs_tol=ABS_TOLERANCE)


class _Encoder:
    """One encoding, with a budget that stops a giant value long before it is written out."""

    def __init__(self, budget: int) -> None:
        self.budget = budget

    def text(self, value: object, depth: int) -> str:
        kind = type(value)
        if depth > MAX_DEPTH:
            raise Unsupported("nested too deeply")
        leaf = _LEAVES.get(kind)
        if leaf is not None:
            return self._spend(leaf(value))
        self._spend("..")
        if kind is dict:
            return self._mapping(cast("dict[object, object]", value), depth)
        if kind not in _TAGS:
            raise Unsupported(f"unsupported type {_type_name(kind)}")
        tag, is_sorted = _TAGS[kind]
        parts = [self.text(item, depth + 1) for item in cast("list[object]", value)]
        body = "[" + ",".join(sorted(parts) if is_sorted else parts) + "]"
        return f'{{"{tag}":{body}}}' if tag else body

    def _mapping(self, value: dict[object, object], depth: int) -> str:
        items = sorted((self.text(k, depth + 1), self.text(v, depth + 1)) for k, v in value.items())
        return '{"d":[' + ",".join(f"[{k},{v}]" for k, v in items) + "]}"

    def _spend(self, text: str) -> str:
        self.budget -= len(text) + 1
        if self.budget < 0:
            raise Unsupported("result too large")
        return text


def _int_text(value: int) -> str:
    return str(value) if -_PLAIN_INT < value < _PLAIN_INT else f'{{"i":"{value:#x}"}}'


_LEAVES: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: _int_text,
    str: _quote,
    float: lambda value: f'{{"f":"{value.hex()}"}}',
    complex: lambda value: f'{{"c":["{value.real.hex()}","{value.imag.hex()}"]}}',
    bytes: lambda value: f'{{"b":"{value.hex()}"}}',
}
_TAGS: dict[type, tuple[str, bool]] = {list: ("", False), tuple: ("t", False), set: ("s", True), frozenset: ("z", True)}


def _type_name(kind: type) -> str:
    name = type.__dict__["__name__"].__get__(kind)
    return str(name)[:80]


def _decoded(node: Any) -> Any:
    if isinstance(node, list):
        return [_decoded(item) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    ((tag, body),) = cast("dict[str, Any]", node).items()
    return _UNTAG[tag](body)


_UNTAG: dict[str, Callable[[Any], Any]] = {
    "i": lambda body: int(body, 16),
    "f": float.fromhex,
    "c": lambda body: complex(float.fromhex(body[0]), float.fromhex(body[1])),
    "b": bytes.fromhex,
    "t": lambda body: tuple(_decoded(body)),
    "s": lambda body: set(_decoded(body)),
    "z": lambda body: frozenset(_decoded(body)),
    "d": lambda body: {_decoded(k): _decoded(v) for k, v in body},
}
