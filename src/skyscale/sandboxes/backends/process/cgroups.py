"""cgroup v2 groups with a limit of memory and of processes, where this process was delegated a part of the tree.

    <ours>/skyscale-control           where this process moves: a group with children may hold no process itself
    <ours>/skyscale-<pid>-<start>-…   one folder for each owner, its groups inside; the next owner removes a dead one's

- Nothing is assumed: whether groups can be made is found by making one, and the reason is kept when they cannot.
- Only our own process is moved. Where others share our group the kernel refuses, and so do we.
- Source: Documentation/admin-guide/cgroup-v2.rst ("No Internal Process Constraint", "Delegation").
"""

import contextlib
import os
import re
import time
from pathlib import Path

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.process.owner import start_time

NEEDED = ("memory", "pids")
OPTIONAL = ("cpu",)
CPU_WEIGHT = 50
"""Half of what everything else has: untrusted code yields to the control plane on a busy machine."""
REMOVE_S = 5.0
_CONTROL = "skyscale-control"
_OWNER = re.compile(r"skyscale-(\d+)-(\d+)-[a-z]+")


class Group:
    """One group; its processes are bounded together."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, pid: int) -> None:
        """Put a process in, with all that it will ever start. Takes milliseconds: the kernel waits for others."""
        (self.path / "cgroup.procs").write_text(str(pid))

    @property
    def num_oom_kills(self) -> int:
        """Processes that were ended for lack of memory."""
        found = re.search(r"^oom_kill (\d+)$", (self.path / "memory.events").read_text(), re.MULTILINE)
        return int(found[1]) if found else 0

    def remove(self) -> None:
        """End whatever is in it, and the group; a group that does not empty is left to the next owner's start."""
        with contextlib.suppress(OSError):  # cgroup.kill is of Linux 5.14; our processes end without it
            (self.path / "cgroup.kill").write_text("1")
        deadline = time.monotonic() + REMOVE_S
        while True:
            try:
                self.path.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.005)
            else:
                return


class Cgroups:
    """The groups of one owner in this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, name: str, memory_bytes: int, max_processes: int) -> Group:
        """A group with these limits, swap excluded. Raises SandboxFailure."""
        path = self._folder / name
        try:
            path.mkdir(exist_ok=True)
            (path / "memory.max").write_text(str(memory_bytes))
            (path / "pids.max").write_text(str(max_processes))
            for optional, value in (("memory.swap.max", "0"), ("cpu.weight", str(CPU_WEIGHT))):
                if (path / optional).exists():
                    (path / optional).write_text(value)
        except OSError as error:
            raise SandboxFailure(f"a cgroup could not be made: {error}") from error
        return Group(path)

    def close(self) -> None:
        """Remove every group."""
        for path in _folders(self._folder):
            Group(path).remove()
        Group(self._folder).remove()


def delegated(owner: str) -> Cgroups | str:
    """Groups for `owner` (a word) in this process; the reason when there can be none."""
    found = _own_folder()
    if isinstance(found, str):
        return found
    try:
        _enable(found)
        _remove_leftovers(found)
        folder = found / f"skyscale-{os.getpid()}-{start_time(os.getpid())}-{owner}"
        folder.mkdir(exist_ok=True)
        _allow(folder)
        groups = Cgroups(folder)
        groups.make("probe", 1 << 30, 16).remove()
    except (OSError, SandboxFailure) as error:
        return str(error)
    return groups


def _own_folder() -> Path | str:
    """Where this process is in the tree of version 2, or the folder above when it has moved there itself."""
    line = next((x for x in _read("/proc/self/cgroup").splitlines() if x.startswith("0::")), None)
    mount = re.search(r"^\S+ \S+ \S+ (\S+) (\S+) .* - cgroup2 ", _read("/proc/self/mountinfo"), re.MULTILINE)
    if line is None or mount is None:
        return "cgroup v2 is not mounted here"
    inside = Path(line[3:])
    root = Path(mount[1])
    relative = inside.relative_to(root) if inside.is_relative_to(root) else Path(str(inside).lstrip("/"))
    folder = Path(mount[2]) / relative
    if folder.name == _CONTROL:
        folder = folder.parent
    missing = [name for name in NEEDED if name not in _read(folder / "cgroup.controllers").split()]
    if missing:
        return f"the controllers {', '.join(missing)} are not available in this process's cgroup v2"
    if not os.access(folder, os.W_OK) or not os.access(folder / "cgroup.procs", os.W_OK):
        return "this process's cgroup is not delegated to it"
    return folder


def _enable(folder: Path) -> None:
    """Let children of our group have limits, which means that we live in one of them."""
    enabled = _read(folder / "cgroup.subtree_control").split()
    if all(name in enabled for name in NEEDED):
        return
    control = folder / _CONTROL
    control.mkdir(exist_ok=True)
    (control / "cgroup.procs").write_text(str(os.getpid()))
    try:
        _allow(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            (folder / "cgroup.procs").write_text(str(os.getpid()))
            control.rmdir()
        raise OSError(error.errno, f"other processes share this process's cgroup ({error.strerror})") from error


def _allow(folder: Path) -> None:
    available = _read(folder / "cgroup.controllers").split()
    wanted = [f"+{name}" for name in (*NEEDED, *OPTIONAL) if name in available]
    (folder / "cgroup.subtree_control").write_text(" ".join(wanted))


def _remove_leftovers(folder: Path) -> None:
    for path in _folders(folder):
        owner = _OWNER.fullmatch(path.name)
        if owner is not None and start_time(int(owner[1])) != owner[2]:
            Cgroups(path).close()


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()]


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
