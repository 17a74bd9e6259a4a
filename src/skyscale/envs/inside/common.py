"""What the programs share: loads the user's file, describes its errors, bounds what it prints."""

import io
import json
import linecache
import math
import sys
import traceback
import types
from typing import TextIO

MAX_PRINTED = 32_000


class _Printed(io.TextIOBase):
    """Takes the first `MAX_PRINTED` characters and drops the rest: a file that prints must not end by it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._left = MAX_PRINTED

    def write(self, text: str) -> int:
        """Pass on what fits."""
        self._stream.write(text[: self._left])
        self._left = max(0, self._left - len(text))
        return len(text)

    def flush(self) -> None:
        """Flush the real stream."""
        self._stream.flush()


def loaded(source: str, name: str) -> types.ModuleType:
    """The user's file as a module; raises whatever it raises."""
    sys.stdout, sys.stderr = _Printed(sys.stdout), _Printed(sys.stderr)
    module = types.ModuleType(name.removesuffix(".py"))
    sys.modules[module.__name__] = module
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    exec(compile(source, name, "exec", dont_inherit=True), module.__dict__)  # the purpose of this process
    return module


def told(error: BaseException, name: str) -> str:
    """An exception, and the line of the user's file that it left."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
    place = f" ({name}, line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {str(error)[:300]}{place}"


def number(value: object, what: str) -> float:
    """A finite number, truth counted as 1; raises ValueError that says what it is instead."""
    if not isinstance(value, int | float):
        raise ValueError(f"{what} must be a number, not {type(value).__name__} {str(value)[:80]!r}")
    if not math.isfinite(value):
        raise ValueError(f"{what} is {value}")
    return float(value)


def reply(value: object) -> str:
    """JSON text."""
    return json.dumps(value, allow_nan=False)
