"""One program, many inputs: the episode's process compiles it once and runs it for each input.

A program that leaves nothing behind (`traceless`) has its runs in the episode's process, one after the other, each with
new globals and a new input: most of a short run's cost is a process's. After `_SHARED_S`, or when they have grown the
process, the rest is left to another sandbox. All others run in a child forked for each input:

    parent: holds the channel, runs no candidate's code     child: descriptors 0 to 3 are files in memory, runs it

- A child cannot fork (the job's filter), so when it has ended nothing of it runs; nor can it read or write its parent,
  by ptrace or /proc (not dumpable, the filter). It can hinder it, by SIGINT (no other signal has a handler in the first
  process of a namespace) and by lower limits: that spoils its own further runs and no others.
- What a run says of itself is a claim, as always. What it printed is read from its files.
- Files under /tmp stay from one input to the next: they are the same program's own.
- One frame per input, `ran`: the claimed status and reason, and as value `exit code,length of stdout`, a new line, and
  stdout and stderr behind each other.
- After a fork each page that the parent writes to is copied: what can be made before the first one is, and between two
  little is done.
"""

import os
import resource
import signal
import time
from types import CodeType
from typing import Any

from . import isolate, kernel, runner, seccomp, traceless

_CLAIM_BYTES = 1024
_LOT = 12
"""Inputs whose files are made at once; four descriptors each, of the 64 that the parent may have."""
_SHARED_S = 0.25
"""Runs that take longer hardly notice what a process costs, and share the time of one otherwise."""
_GROWTH_KB = 32 * 1024
"""What runs may leave unfreed of the memory that the next one counts on."""
_SIGNALS = {int(each): each.name for each in signal.Signals}


def run(job: runner.Job) -> int:
    """Run a job of kind `programs`; returns the exit code."""
    # One process more than a single run, the parent itself; and a second more, for runs that share it.
    isolate.limit_for_job(job["memory_bytes"], job["cpu_s"] + 1, job["file_bytes"], job["max_processes"] + 1)
    compiled = runner.compiled(job["code"])
    if compiled is None:
        return 1
    if traceless.leaves_nothing(compiled):
        _run_here(compiled, job)
    else:
        _run_in_children(compiled, job)
    runner.send("done", "ok", "", "0")
    return 0


def _run_here(compiled: CodeType, job: runner.Job) -> None:
    """As many runs as may share this process."""
    for descriptor in range(3):
        file = os.memfd_create(str(descriptor), os.MFD_CLOEXEC)
        os.dup2(file, descriptor)
        os.close(file)
    isolate.limit_for_job(job["memory_bytes"], job["cpu_s"] + 1, job["file_bytes"], job["max_processes"])
    if job["filtered"]:
        seccomp.job_filter(allow_fork=False).install()
    output_bytes = job["output_bytes"]
    began, size_kb = time.monotonic(), _size_kb()
    for text in job["stdins"]:
        _empty_files(text)
        space: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
        kind, error, exit_code = runner.outcome(compiled, space)
        reason = runner.conclude(kind, error)
        _tell(1, 2, output_bytes, kind, reason, exit_code)
        del error
        space.clear()  # functions and their globals hold each other
        if time.monotonic() - began > _SHARED_S or _size_kb() - size_kb > _GROWTH_KB:
            return


def _size_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _empty_files(text: str) -> None:
    """Descriptors 0 to 2 as a new process has them: this input, and nothing printed."""
    runner.renew_streams()  # a run may have closed them, or printed while its objects were let go of
    for descriptor in range(3):
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
    runner.write_all(0, text.encode("utf-8", "surrogateescape"))
    os.lseek(0, 0, os.SEEK_SET)


def _run_in_children(compiled: CodeType, job: runner.Job) -> None:
    """Every run in a process of its own."""
    isolate.limit_for_job(job["memory_bytes"], job["cpu_s"], job["file_bytes"], job["max_processes"] + 1)
    child_filter = seccomp.job_filter(allow_fork=False) if job["filtered"] else None
    stdins, output_bytes = job["stdins"], job["output_bytes"]
    for start in range(0, len(stdins), _LOT):
        for files in [_files(text) for text in stdins[start : start + _LOT]]:
            _run_one(compiled, files, child_filter, output_bytes)


def _files(text: str) -> tuple[int, int, int, int]:
    """Stdin, with its content, stdout, stderr and claim of one run."""
    stdin, stdout, stderr, claim = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("0", "1", "2", "3"))
    runner.write_all(stdin, text.encode("utf-8", "surrogateescape"))
    os.lseek(stdin, 0, os.SEEK_SET)
    return stdin, stdout, stderr, claim


def _run_one(
    compiled: CodeType, files: tuple[int, int, int, int], child_filter: seccomp.Filter | None, output_bytes: int
) -> None:
    pid = kernel.fork()
    if pid == 0:
        _become(compiled, files, child_filter)
    exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    stdin, stdout, stderr, claim = files
    kind, reason = _claimed(os.pread(claim, _CLAIM_BYTES, 0), exit_code)
    _tell(stdout, stderr, output_bytes, kind, reason, exit_code)
    os.close(stdin)
    os.close(stdout)
    os.close(stderr)
    os.close(claim)


def _tell(stdout: int, stderr: int, output_bytes: int, kind: str, reason: str, exit_code: int) -> None:
    """What came of one run, with what it printed."""
    printed = os.pread(stdout, output_bytes + 1, 0).decode("utf-8", "replace")
    complained = os.pread(stderr, output_bytes + 1, 0).decode("utf-8", "replace")
    runner.send("ran", kind, reason, f"{exit_code},{len(printed)}\n{printed}{complained}")


def _become(compiled: CodeType, files: tuple[int, int, int, int], child_filter: seccomp.Filter | None) -> None:
    """Never returns: the child's whole life."""
    code = 70
    try:
        stdin, stdout, stderr, claim = files
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.dup2(claim, 3)
        kernel.close_from(4)
        if child_filter is not None:
            child_filter.install()
        code = runner.execute(compiled)
    finally:
        os._exit(code)


def _claimed(frame: bytes, exit_code: int) -> tuple[str, str]:
    """Status and reason; a program that ended itself (`os._exit` is its right) claims nothing."""
    if exit_code == 0 and frame == runner.ENDED_WELL:
        return "ok", ""
    parts = frame[4:].decode("utf-8", "replace").split("\n")
    if exit_code < 0 or len(parts) < 4 or parts[0] != "done":
        return ("ok" if exit_code == 0 else "exception"), _SIGNALS.get(-exit_code, "")
    return parts[1], parts[2]
