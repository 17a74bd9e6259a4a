"""Both ends of a proxied test, as they run inside: the candidate that serves calls, the checker that runs test code.

    checker's sandbox: test code, `candidate` is a stub      candidate's sandbox: its code, nothing of the tests
        ask(arguments) --> control plane (relays texts) --> request --> the function
        value or exception <------------------------------------------- call

- The two never share a process. The stub decodes plain data; no object, class or code of the candidate crosses.
- An exception crosses as its nearest builtin class. Those that steer a loop from inside (StopIteration) or are no
  `Exception` (SystemExit), and values without an encoding, fail the test whatever the test code catches.
- Test code is trusted to speak for itself; it is written by the problem's author and marked up by `envs.test_code`.
"""

import builtins
from collections.abc import Callable
from types import TracebackType
from typing import Any

from ....encoding import Unsupported, decode, encode  # noqa: TID252
from . import runner

MARK = "__skyscale_test__"
"""`with __skyscale_test__(3): ...` is the third test."""
_STEERING = (StopIteration, StopAsyncIteration)


def run(job: dict[str, Any]) -> int:
    """Run a job of kind `serve` or `check`; returns the exit code."""
    runner.prepare(job)
    if job["kind"] == "check":
        return _check(job)
    function = runner.load_function(job["code"], job["entry_point"])
    return 1 if function is None else _serve(function, job["result_bytes"])


def _check(job: dict[str, Any]) -> int:
    """The checker's end; with the candidate's code in the job both ends at once, for tests that cannot be parted."""
    tests = Tests()
    function: Callable[..., object] | None = stub(tests, job["result_bytes"])
    if job["code"] is None:
        runner.send("loaded", "ok")
    else:
        function = runner.load_function(job["code"], job["entry_point"])
    if function is None:
        return 1
    space: dict[str, Any] = {"__name__": "tests", MARK: tests.mark, "candidate": function, job["entry_point"]: function}
    status, detail = runner.load(job["source"], space)
    runner.flush()
    runner.send("done", status, detail, "0")
    return 0


def _serve(function: Callable[..., object], max_chars: int) -> int:
    """The candidate's end: answer calls until the other side goes away."""
    while (text := runner.receive(bytes.decode)) is not None:
        try:
            value = runner.result_of(function, text, max_chars)
        except Unsupported as error:
            runner.send("call", "unsupported_value", str(error))
        except MemoryError:
            runner.send("call", "memory", "MemoryError")
        except BaseException as error:  # noqa: BLE001  the candidate may raise anything
            runner.send("call", "exception", *_described(error))
        else:
            runner.send("call", "ok", "", value)
        runner.flush()
    return 0


def _described(error: BaseException) -> tuple[str, str]:
    """The nearest builtin exception class, and the encoded arguments when they are plain data."""
    for kind in type.__dict__["__mro__"].__get__(type(error)):
        name = runner.type_name(kind)
        if getattr(builtins, name, None) is kind:
            try:
                return name, encode(error.args, 4096)
            except BaseException:  # noqa: BLE001  the candidate's objects may do anything
                return name, ""
    return "BaseException", ""


class Tests:
    """What became of each marked test; its first failure stands."""

    def __init__(self) -> None:
        self.current: int | None = None
        self._has_failed = False
        self._doom: tuple[str, str] | None = None

    def mark(self, index: int) -> "_Mark":
        """The context of test `index`."""
        return _Mark(self, index)

    def spoil(self, status: str, detail: str) -> None:
        """Fail the current test for good; outside of tests, all that follow."""
        if self.current is None:
            self._doom = status, detail
        elif not self._has_failed:
            self._has_failed = True
            runner.send("test", status, detail, str(self.current))

    def enter(self, index: int) -> None:
        self.current, self._has_failed = index, False
        if self._doom is not None:
            self.spoil(*self._doom)

    def leave(self, error: BaseException | None) -> None:
        if error is not None:
            self.spoil("memory" if isinstance(error, MemoryError) else "exception", runner.name(error))
        elif not self._has_failed:
            runner.send("test", "ok", "", str(self.current))
        self.current = None


class _Mark:
    def __init__(self, tests: Tests, index: int) -> None:
        self._tests = tests
        self._index = index

    def __enter__(self) -> None:
        self._tests.enter(self._index)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._tests.leave(error)
        return isinstance(error, Exception)


def stub(tests: Tests, max_chars: int) -> Callable[..., object]:
    """The function that test code sees in the candidate's place."""

    def candidate(*positional: object, **keywords: object) -> object:
        try:
            text = encode([positional, keywords] if keywords else positional, max_chars)
        except Unsupported as error:
            tests.spoil("unsupported_value", f"argument: {error}")
            raise TypeError(str(error)) from None
        runner.send("ask", "ok", "", text)
        status, detail, value = _answer()
        if status == "ok":
            try:
                return decode(value)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError, MemoryError):
                tests.spoil("unsupported_value", "not a canonical value")
                raise TypeError("not a canonical value") from None
        if status != "exception":
            tests.spoil(status, detail)
        raise _exception(tests, detail, value)

    return candidate


def _answer() -> tuple[str, str, str]:
    text = runner.receive(bytes.decode)
    if text is None:
        raise SystemExit(1)
    status, detail, value = text.split("\n", 2)
    return status, detail, value


def _exception(tests: Tests, name: str, arguments: str) -> Exception:
    kind = getattr(builtins, name, None)
    if not isinstance(kind, type) or not issubclass(kind, Exception) or issubclass(kind, _STEERING):
        tests.spoil("exception", name)
        return RuntimeError(name)
    try:
        values: Any = decode(arguments) if arguments else ()
        return kind(*values)
    except Exception:  # noqa: BLE001  e.g. UnicodeDecodeError wants five arguments
        return RuntimeError(name)
