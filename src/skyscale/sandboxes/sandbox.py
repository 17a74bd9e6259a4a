"""The sandbox contract: what a backend promises to whoever judges code.

- Each `Sandbox` is fresh and used for one episode; nothing of it outlives `close()`.
- The process that runs the code receives inputs and returns values. Expected values, tests and verdicts stay with the
  caller; the exit status and printed text are diagnostics only.
- Values cross the border as canonical JSON text (`encoding.py` states the grammar). The caller compares
  texts, so a hostile value is never decoded into objects outside.
- Every wait has a deadline that is enforced from outside. What the code does is an `Execution` or a `CallResult`;
  a broken sandbox is the exception `SandboxFailure`, which is never a reward.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self, runtime_checkable


class CallStatus(StrEnum):
    """How one call, or one program, ended."""

    OK = "ok"
    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    KILLED = "killed"
    PROTOCOL_VIOLATION = "protocol_violation"
    UNSUPPORTED_VALUE = "unsupported_value"
    NO_ENTRY_POINT = "no_entry_point"
    SYNTAX_ERROR = "syntax_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one episode may use; enforced by the kernel or from outside, never by the code's good will."""

    wall_s: float = 5.0
    """For the whole episode, from the moment the code is handed over."""
    cpu_s: int = 5
    memory_bytes: int = 256 * 1024 * 1024
    max_processes: int = 1
    """1 denies fork and threads altogether."""
    output_bytes: int = 64 * 1024
    """Of stdout and of stderr."""
    result_bytes: int = 1024 * 1024
    """Of one encoded value."""
    tmp_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CallResult:
    """The outcome of one function call inside the sandbox."""

    status: CallStatus
    value: str = ""
    """Canonical encoding of the returned value, when the status is `ok`."""
    detail: str = ""
    """Exception type or other short reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What a sandbox has to say after running a program."""

    status: CallStatus
    """Of loading the code (`calls`) or of the whole program (`program`)."""
    calls: list[CallResult] = field(default_factory=list[CallResult])
    """One per requested call, in order; calls that were never reached repeat the status that prevented them."""
    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    detail: str = ""
    duration_ms: float = 0.0


class Sandbox(Protocol):
    """One isolated, single-use place to run code."""

    sandbox_id: str

    async def run_calls(self, code: str, entry_point: str, arguments: list[str], limits: Limits) -> Execution:
        """Load `code` once, then call `entry_point` with each of `arguments` (encoded argument tuples)."""
        ...

    async def run_program(self, code: str, stdin: str, limits: Limits) -> Execution:
        """Run `code` as a program with `stdin` as its input; its stdout is the result."""
        ...

    async def close(self) -> None:
        """Destroy it and every process in it; safe to call twice."""
        ...


@runtime_checkable
class EndedAtOnce(Sandbox, Protocol):
    """A sandbox whose end needs no waiting: its backend sees to the rest, and to what is left when it stops."""

    def end(self) -> None:
        """Kill it and every process in it, and give back what it holds here; safe to call twice, and before `close`."""
        ...


@runtime_checkable
class ManyRuns(Sandbox, Protocol):
    """A sandbox that can run one program on many inputs, each time as if it were the first."""

    async def run_programs(self, code: str, stdins: Sequence[str], limits: Limits) -> list[Execution]:
        """Run `code` once per input: at least one result, fewer than inputs when the sandbox ended with a run."""
        ...


Answer = Callable[[str], Awaitable[CallResult]]
"""Answers one encoded call of the function under test."""


@runtime_checkable
class TalkingSandbox(Sandbox, Protocol):
    """A sandbox that can be one end of a proxied test: test code in one, the candidate's code in another.

    Either `load` and then `call` (the candidate's end), or `run_tests` (the checker's end); once, as always.
    """

    async def load(self, code: str, entry_point: str, limits: Limits) -> CallResult:
        """Load `code` and keep `entry_point` ready to be called."""
        ...

    async def call(self, arguments: str) -> CallResult:
        """Call it with an encoded tuple, or an encoded list of a tuple and a dict of keywords.

        An exception carries its nearest builtin class as `detail` and, where they are plain data, its encoded arguments
        as `value`. Once the status is none that a function can have by itself, it stays so.
        """
        ...

    async def finish(self) -> Execution:
        """After `load`: end it, and say what it printed and how it ended."""
        ...

    async def run_tests(
        self, source: str, entry_point: str, num_tests: int, limits: Limits, *, answer: Answer | None, code: str = ""
    ) -> Execution:
        """Run marked test code (`envs.test_code`); `calls` of the result are the tests, in order, without values.

        What it calls `entry_point` asks `answer`. With None, `code` is loaded into the same process instead: whatever
        the result says is then only as honest as the code.
        """
        ...


@runtime_checkable
class Pooled(Protocol):
    """A backend that keeps sandboxes ready."""

    @property
    def num_ready(self) -> int:
        """Sandboxes that `acquire` would give at once."""
        ...


class SandboxBackend(Protocol):
    """A way to make sandboxes."""

    name: str

    async def start(self) -> None:
        """Make ready (warm pools, zygotes). Raises SandboxFailure with what is missing on this host."""
        ...

    async def acquire(self) -> Sandbox:
        """A fresh sandbox, from the warm pool when one is ready."""
        ...

    async def stop(self) -> None:
        """End every sandbox and helper process; nothing is left behind."""
        ...

    def report(self) -> dict[str, str]:
        """Each isolation layer and whether it is in force here: `{"network namespace": "yes", ...}`."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
