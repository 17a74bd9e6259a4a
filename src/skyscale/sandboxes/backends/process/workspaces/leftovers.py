"""Processes that a dead control plane left behind: found by their label, ended by pidfd.

The kernel ends a keeper's children with it, and a keeper ends when its control plane does; this is for the case that
something of it did not (a keeper that was stopped, a debugger). A label names the data it belongs to and the process
that owned it, by pid and start time, so that nothing of a living control plane is ever touched.
"""

import contextlib
import os
import signal
from pathlib import Path

from skyscale.sandboxes.backends.process.owner import start_time

_MARK = "skyscale-workspaces"


def mark(label: str) -> str:
    """The argument that marks the processes of this control plane."""
    return f"{_MARK}:{label}:{os.getpid()}:{start_time(os.getpid())}"


def end_leftovers(label: str) -> int:
    """End what dead control planes with this label left here; how many processes that were."""
    num_ended = 0
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(pid)  # before the look: the number cannot pass to another process meanwhile
            try:
                if _is_leftover((folder / "cmdline").read_bytes(), label):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                    num_ended += 1
            finally:
                os.close(pidfd)
    return num_ended


def _is_leftover(command_line: bytes, label: str) -> bool:
    for argument in command_line.decode("utf-8", "replace").split("\0"):
        if argument.startswith(f"{_MARK}:{label}:"):
            pid, _, started = argument.removeprefix(f"{_MARK}:{label}:").partition(":")
            return start_time(int(pid)) != started if pid.isdecimal() else False
    return False
