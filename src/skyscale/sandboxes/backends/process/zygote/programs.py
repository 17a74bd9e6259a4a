"""One program, many inputs: the episode's process compiles it once and forks a child for each input.

    parent: holds the channel, runs no candidate's code     child: descriptors 0 to 3 are files in memory, runs it

- A child cannot fork (the job's filter), so when it has ended nothing of it runs; nor can it reach its parent: not by
  ptrace or /proc (not dumpable, the filter), nor by signals (the parent is the first process of the namespace).
- What a child says of itself is a claim, as always. What it printed is read from its files by the parent.
- Files under /tmp stay from one input to the next: they are the same program's own.
- One frame per input, `ran`: the claimed status and reason, and as value the JSON list [wait status, stdout, stderr].
"""

import json
import os
import random
import signal
from types import CodeType

from . import isolate, kernel, runner, seccomp

_CLAIM_BYTES = 1024


def run(job: runner.Job) -> int:
    """Run a job of kind `programs`; returns the exit code."""
    # One process more than a single run: the parent itself.
    isolate.limit_for_job(job["memory_bytes"], job["cpu_s"], job["file_bytes"], job["max_processes"] + 1)
    compiled = runner.compiled(job["code"])
    if compiled is None:
        return 1
    child_filter = seccomp.job_filter(allow_fork=False) if job["filtered"] else None
    random.seed(0)  # each child begins with this state: nothing here draws from it
    for text in job["stdins"]:
        _run_one(compiled, text, child_filter, job["output_bytes"])
    runner.send("done", "ok", "", "0")
    return 0


def _run_one(compiled: CodeType, text: str, child_filter: seccomp.Filter | None, output_bytes: int) -> None:
    stdin, stdout, stderr, claim = files = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("0", "1", "2", "3")]
    runner.write_all(stdin, text.encode("utf-8", "surrogateescape"))
    os.lseek(stdin, 0, os.SEEK_SET)
    pid = kernel.fork()
    if pid == 0:
        _become(compiled, files, child_filter)
    _, status = os.waitpid(pid, 0)
    exit_code = os.waitstatus_to_exitcode(status)
    kind, reason = _claimed(os.pread(claim, _CLAIM_BYTES, 0), exit_code)
    printed = [os.pread(each, output_bytes + 1, 0).decode("utf-8", "replace") for each in (stdout, stderr)]
    for descriptor in files:
        os.close(descriptor)
    runner.send("ran", kind, reason, json.dumps([exit_code, *printed]))


def _become(compiled: CodeType, files: list[int], child_filter: seccomp.Filter | None) -> None:
    """Never returns: the child's whole life."""
    code = 70
    try:
        for target, source in enumerate(files):
            os.dup2(source, target)
        kernel.close_from(4)
        if child_filter is not None:
            child_filter.install()
        code = runner.execute(compiled)
    finally:
        os._exit(code)


def _claimed(frame: bytes, exit_code: int) -> tuple[str, str]:
    """Status and reason; a program that ended itself (`os._exit` is its right) claims nothing."""
    parts = frame[4:].decode("utf-8", "replace").split("\n")
    if exit_code < 0 or len(parts) < 4 or parts[0] != "done":
        reason = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else ""
        return ("ok" if exit_code == 0 else "exception"), reason
    return parts[1], parts[2]
