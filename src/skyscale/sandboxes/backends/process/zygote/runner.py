"""What the episode's process does: read one job, run it, send what came of it, end.

Frames on descriptor 3: 4-byte big-endian length, then text. To us: one JSON job. From us, four lines: kind, status,
detail, value.
The candidate shares this interpreter and can forge every frame; the other side takes them as claims of values only.
It may raise anything at any time, hence `except BaseException`.
"""

import contextlib
import json
import os
import random
import sys
import traceback
from collections.abc import Callable
from types import CodeType
from typing import Any, TextIO, TypeVar

from ....encoding import Unsupported, decode, encode  # noqa: TID252
from . import isolate, seccomp

CHANNEL = 3
_SOURCE = "<solution>"
_REHEARSALS = 20
"""CPython 3.11 specialises a function's instructions by its eighth call or so."""
_REHEARSED_CALLS = """
def f(items):
    total = 0
    for index, item in enumerate(items):
        total = max(total, item % 10 + len(items) - index)
    return [item + total for item in sorted(items)]
"""
_REHEARSED_PROGRAM = """
n = int(input())
items = [int(word) for word in input().split()]
for item in items[:n]:
    print(item, sum(items) // n)
print(*items)
"""
_T = TypeVar("_T")
Job = dict[str, Any]


def send(kind: str, status: str = "", detail: str = "", value: str = "") -> None:
    """One frame to the other side."""
    write_all(CHANNEL, frame(kind, status, detail, value))


def frame(kind: str, status: str, detail: str, value: str) -> bytes:
    """The frame's bytes."""
    payload = "\n".join((kind, status, detail, value)).encode("utf-8", "backslashreplace")
    return len(payload).to_bytes(4, "big") + payload


ENDED_WELL = frame("done", "ok", "", "0")
"""What most runs end with; made once."""


def receive(loads: Callable[[bytes], _T]) -> _T | None:
    """What the other side says next, or None when it went away."""
    header = _read_exactly(4)
    body = header and _read_exactly(int.from_bytes(header, "big"))
    return loads(body) if body else None


def _read_exactly(size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = os.read(CHANNEL, size - len(data))
        if not piece:
            return b""
        data += piece
    return bytes(data)


def prepare(job: Job) -> None:
    """The last steps before foreign code is seen: input, limits, second filter."""
    if job["kind"] == "program":
        _set_stdin(job["stdin"])
    isolate.limit_for_job(job["memory_bytes"], job["cpu_s"], job["file_bytes"], job["max_processes"])
    if job["filtered"]:
        seccomp.job_filter(allow_fork=job["max_processes"] > 1).install()


def run(job: Job) -> int:
    """Run a job of kind `program` or `calls`; returns the exit code."""
    prepare(job)
    if job["kind"] == "program":
        return _run_program(job["code"])
    return _run_calls(job)


def write_all(descriptor: int, content: bytes) -> None:
    """All of it, however many writes that takes."""
    data = memoryview(content)
    while data:
        data = data[os.write(descriptor, data) :]


def _set_stdin(text: str) -> None:
    """Descriptor 0 becomes a file in memory with this test's input and nothing else."""
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC)
    write_all(descriptor, text.encode("utf-8", "surrogateescape"))
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.dup2(descriptor, 0)
    os.close(descriptor)


def open_streams() -> None:
    """Text streams over descriptors 0 to 2, made in the zygote: each episode puts its own files under the numbers.

    A pipe stands in meanwhile, so that the streams do not take stdout for a file that can seek.
    """
    out, err, (reading, writing) = os.dup(1), os.dup(2), os.pipe()
    os.dup2(writing, 1)
    os.dup2(writing, 2)
    renew_streams()
    os.dup2(out, 1)
    os.dup2(err, 2)
    for descriptor in (out, err, reading, writing):
        os.close(descriptor)


def renew_streams() -> None:
    """New text streams over descriptors 0 to 2; what the old ones still held is written as they go."""
    sys.stdin, sys.stdout, sys.stderr = _streams(0, 1, 2)


def _streams(stdin: int, stdout: int, stderr: int) -> tuple[TextIO, TextIO, TextIO]:
    return (
        open(stdin, encoding="utf-8", errors="replace", closefd=False),
        open(stdout, "w", encoding="utf-8", errors="backslashreplace", closefd=False),
        open(stderr, "w", encoding="utf-8", errors="backslashreplace", closefd=False),
    )


def _run_program(code: str) -> int:
    program = compiled(code)
    return 1 if program is None else execute(program)


def compiled(code: str) -> CodeType | None:
    """The program; None when it is not one, which has been told then."""
    try:
        return compile(code, _SOURCE, "exec", dont_inherit=True)
    except BaseException as error:  # noqa: BLE001
        _finish("syntax_error", error, 1)
        return None


def execute(compiled: CodeType) -> int:
    """Run a program and tell how it ended; returns its exit code."""
    return _finish(*outcome(compiled, {"__name__": "__main__", "__builtins__": __builtins__}))


def outcome(compiled: CodeType, space: dict[str, Any]) -> tuple[str, BaseException | None, int]:
    """Run a program in a name space: how it ended, with which exception, and its exit code."""
    try:
        exec(compiled, space)  # the purpose of this process
    except SystemExit as error:
        code_of_exit = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        return ("ok" if code_of_exit == 0 else "exception"), error, code_of_exit & 0xFF
    except MemoryError as error:
        return "memory", error, 1
    except BaseException as error:  # noqa: BLE001
        return "exception", error, 1
    return "ok", None, 0


def _finish(status: str, error: BaseException | None, exit_code: int) -> int:
    reason = conclude(status, error)
    if status == "ok" and exit_code == 0:
        os.write(CHANNEL, ENDED_WELL)
    else:
        send("done", status, reason, str(exit_code))
    return exit_code


def conclude(status: str, error: BaseException | None) -> str:
    """Write out what was printed, with the traceback of an error; the reason in a word."""
    if status == "ok" or error is None:
        flush()
        return ""
    if not isinstance(error, SystemExit):
        _show(error)
    flush()
    return name(error)


def _run_calls(job: Job) -> int:
    function = load_function(job["code"], job["entry_point"])
    if function is None:
        return 1
    _call_each(function, job["arguments"], job["result_bytes"])
    flush()
    os.write(CHANNEL, ENDED_WELL)
    return 0


def rehearse() -> None:
    """In the zygote: run code of our own through what every episode runs, with frames and outputs to nowhere.

    What the interpreter makes or rewrites the first times (specialised instructions, caches of types' attributes) is
    then there before the fork, not made in each episode.
    """
    streams = sys.stdin, sys.stdout, sys.stderr
    channel, nowhere = os.dup(CHANNEL), os.open("/dev/null", os.O_WRONLY)
    os.dup2(nowhere, CHANNEL)
    program = compile(_REHEARSED_PROGRAM, _SOURCE, "exec", dont_inherit=True)
    job = json.dumps({"code": _REHEARSED_CALLS, "arguments": ['{"t":[[1,2,3]]}'] * 2}).encode()
    for _ in range(_REHEARSALS):
        calls = json.loads(job)
        function = load_function(calls["code"], "f")
        assert function is not None
        _call_each(function, calls["arguments"], 1000)
        _rehearse_program(program, nowhere)
    sys.stdin, sys.stdout, sys.stderr = streams
    os.dup2(channel, CHANNEL)
    os.close(channel)
    os.close(nowhere)


def _rehearse_program(program: CodeType, nowhere: int) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"2\n3 4\n")
    os.close(writing)
    sys.stdin, sys.stdout, sys.stderr = _streams(reading, nowhere, nowhere)
    execute(program)
    os.close(reading)


def fix_random_state() -> None:
    """In the zygote, or before the job where there is none: every episode draws the same numbers.

    Nothing of ours draws any after this.
    """
    random.seed(0)


def load_function(code: str, entry_point: str) -> Callable[..., object] | None:
    """Load the code and tell what came of it; its function, or None."""
    space: dict[str, Any] = {"__name__": "solution", "__builtins__": __builtins__}
    status, detail = load(code, space)
    function = space.get(entry_point)
    if status == "ok" and not callable(function):
        status, detail = "no_entry_point", f"no function {entry_point}"
    if status != "ok" or function is None:
        flush()
        send("loaded", status, detail)
        return None
    send("loaded", "ok")
    return function


def load(code: str, space: dict[str, Any]) -> tuple[str, str]:
    """Execute code in a name space; the status and a short reason."""
    try:
        compiled = compile(code, _SOURCE, "exec", dont_inherit=True)
    except BaseException as error:  # noqa: BLE001
        _show(error)
        return "syntax_error", name(error)
    try:
        exec(compiled, space)  # the purpose of this process
    except MemoryError as error:
        return "memory", name(error)
    except BaseException as error:  # noqa: BLE001
        _show(error)
        return "exception", name(error)
    return "ok", ""


def result_of(function: Callable[..., object], text: str, max_chars: int) -> str:
    """Call with encoded arguments: a tuple, or a list of a tuple and a dict of keywords. The encoded result."""
    arguments = decode(text)
    if type(arguments) is tuple:
        return encode(function(*arguments), max_chars)
    positional, keywords = arguments
    return encode(function(*positional, **keywords), max_chars)


def _call_each(function: Callable[..., object], arguments: list[str], max_chars: int) -> None:
    has_shown = False
    for text in arguments:
        try:
            value = result_of(function, text, max_chars)
        except Unsupported as error:
            send("call", "unsupported_value", str(error))
        except MemoryError as error:
            send("call", "memory", name(error))
        except BaseException as error:  # noqa: BLE001
            if not has_shown:
                _show(error)
            has_shown = True
            send("call", "exception", name(error))
        else:
            send("call", "ok", "", value)


def name(error: BaseException) -> str:
    """The name of its class, whatever the class says of itself."""
    return type_name(type(error))


def type_name(kind: type) -> str:
    """The real name of a class, on one line."""
    return str(type.__dict__["__name__"].__get__(kind)).replace("\n", " ")[:80]


def _show(error: BaseException) -> None:
    """The traceback without our own frames; the candidate's objects may refuse to be printed."""
    try:
        start = error.__traceback__.tb_next if error.__traceback__ else None
        traceback.print_exception(type(error), error, start, limit=-6, file=sys.stderr)
    except BaseException:  # noqa: BLE001
        _complain(b"(the exception cannot be printed)\n")


def flush() -> None:
    """Write out what was printed; the streams may be the candidate's own by now."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # noqa: BLE001
            _complain(b"(the stream cannot be flushed)\n")


def _complain(text: bytes) -> None:
    """To stderr, unless that is full or closed too: how the run ended has to be told all the same."""
    with contextlib.suppress(OSError):
        os.write(2, text)
