"""What control planes that are gone left on this host: processes and folders that carry their owner's mark.

- A mark is `sky-NAMESPACE-PID-START` in hexadecimal: the PID namespace, the number in it, and the start in ticks since
  boot, so that a number that was given again is not taken for its former holder.
- Owners in other PID namespaces cannot be looked up, so theirs is never touched; nor is what belongs to another user.
- Ending is by pidfd, opened before the look: the number cannot pass to another process in between.
"""

import contextlib
import os
import re
import select
import shutil
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path

_MARK = re.compile(r"sky-([0-9a-f]{1,16})-([0-9a-f]{1,8})-([0-9a-f]{1,16})")
_END_WAIT_S = 5.0


def mark() -> str:
    """This process's own."""
    pid = os.getpid()
    return f"sky-{_namespace():x}-{pid:x}-{_start_time(pid) or 0:x}"


def is_orphaned(text: str) -> bool:
    """Whether it carries the mark of an owner that is gone."""
    found = _MARK.search(text)
    if found is None:
        return False
    namespace, pid, started = (int(part, 16) for part in found.groups())
    return namespace == _namespace() and _start_time(pid) != started


def end_processes(is_wanted: Callable[[str], bool]) -> int:
    """Kill the processes with such a command line (words parted by spaces) and wait for their end; how many."""
    ended: list[int] = []
    try:
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if int(folder.name) != os.getpid() and (pidfd := _killed(folder, is_wanted)) is not None:
                    ended.append(pidfd)
        _await(ended)
    finally:
        for pidfd in ended:
            os.close(pidfd)
    return len(ended)


def orphaned_folders(base: Path) -> list[Path]:
    """Folders of ours in `base`, by their names those of an owner that is gone; links are none."""
    with contextlib.suppress(OSError):
        return [path for path in base.iterdir() if is_orphaned(path.name) and _is_our_folder(path)]
    return []


def remove_orphaned_folders(base: Path) -> int:
    """Remove them; how many there were."""
    found = orphaned_folders(base)
    for folder in found:
        shutil.rmtree(folder, ignore_errors=True)
    return len(found)


def _killed(folder: Path, is_wanted: Callable[[str], bool]) -> int | None:
    """Its pidfd, when it was to be killed and has been."""
    pidfd = os.pidfd_open(int(folder.name))
    with contextlib.suppress(OSError):
        words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").replace("\0", " ")
        if os.geteuid() in (0, folder.stat().st_uid) and is_wanted(words):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            return pidfd
    os.close(pidfd)
    return None


def _await(pidfds: list[int]) -> None:
    poll = select.poll()
    for pidfd in pidfds:
        poll.register(pidfd, select.POLLIN)
    left, deadline = len(pidfds), time.monotonic() + _END_WAIT_S
    while left and time.monotonic() < deadline:
        for pidfd, _ in poll.poll(100):
            poll.unregister(pidfd)
            left -= 1


def _is_our_folder(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _start_time(pid: int) -> int | None:
    """In ticks since boot; None when there is no such process, or a dead one that was not reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])
