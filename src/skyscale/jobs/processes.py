"""Processes of this host, identified so that a reused pid is never mistaken for the one we started.

An identity is boot + pid + start time, read from /proc. A job's processes, wherever they moved, are found by
`SKYSCALE_JOB_FOLDER` in the environment they were started with. Linux only; zombies count as gone.
"""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROC = Path("/proc")
FOLDER_VARIABLE = "SKYSCALE_JOB_FOLDER"
EXEC_WAITS = 200
"""Looks, 5 ms apart, at a process that is being exec'ed on a starved machine."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process; `started` is in clock ticks since boot."""

    pid: int
    started: int
    boot: str

    def is_alive(self) -> bool:
        """Whether this very process still runs; reaps it if it is our dead child."""
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return identify(self.pid) == self

    def send(self, signum: int) -> None:
        """Send a signal if it is still there."""
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, signum)


@cache
def boot_id() -> str:
    """This boot of the host."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Process | None:
    """The process that has this pid now; None when there is none or it is a zombie."""
    try:
        # The name in field 2 may hold anything, so count from its closing parenthesis: state is 3, start time is 22.
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]), boot_id())


def of_folder(folder: Path, attempt: int | None = None) -> list[Process]:
    """Live processes that were started for the job in this folder (and for this attempt)."""
    marks = {f"{FOLDER_VARIABLE}={folder}".encode()}
    if attempt is not None:
        marks.add(f"SKYSCALE_JOB_ATTEMPT={attempt}".encode())
    found: list[Process] = []
    for entry in os.scandir(PROC):
        if not entry.name.isdigit():
            continue
        environ = _environment(Path(entry.path))
        if marks <= set(environ.split(b"\0")) and (process := identify(int(entry.name))):
            found.append(process)
    return found


def below(root: Path) -> dict[tuple[Path, int], Process]:
    """Live attempts of jobs whose folders are in `root`: (folder, attempt) -> its oldest process, the runner."""
    found: dict[tuple[Path, int], Process] = {}
    for entry in os.scandir(PROC):
        environ = _environment(Path(entry.path)) if entry.name.isdigit() else b""
        pairs = dict(line.split(b"=", 1) for line in environ.split(b"\0") if b"=" in line)
        folder = Path(os.fsdecode(pairs.get(FOLDER_VARIABLE.encode(), b"/")))
        attempt = pairs.get(b"SKYSCALE_JOB_ATTEMPT", b"")
        if folder.parent != root or not attempt.isdigit() or not (process := identify(int(entry.name))):
            continue
        key = (folder, int(attempt))
        found[key] = min(found.get(key, process), process, key=lambda each: (each.started, each.pid))
    return found


def _environment(proc: Path) -> bytes:
    """The environment a process was started with; empty when it is another user's, has none, or is gone."""
    for _ in range(EXEC_WAITS):
        try:
            environ = (proc / "environ").read_bytes()
            # In the middle of exec a process has a program but neither environment nor arguments yet: look again.
            if environ or (proc / "cmdline").read_bytes() or not (proc / "exe").readlink():
                return environ
        except OSError:
            return b""
        time.sleep(0.005)
    return b""


def kill_all(folder: Path, deadline_s: float) -> bool:
    """Kill every process of the job's folder; whether none is left before the deadline."""
    until = time.monotonic() + deadline_s
    while left := of_folder(folder):
        for process in left:
            process.send(signal.SIGKILL)
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def wait_gone(process: Process, deadline_s: float) -> bool:
    """Wait for it to end; whether it did."""
    until = time.monotonic() + deadline_s
    while process.is_alive():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
