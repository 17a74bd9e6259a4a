"""A jail: one folder that is the whole world of one Firecracker process, and the jailer's command line.

- Files enter as hard links (copies across filesystems), owned by root and readable only: the machine's own uid can
  change none of them, and the one folder it may write to goes with the jail.
- Paths in requests are paths inside the jail, so that a snapshot fits every jail.
"""

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skyscale.errors import SandboxFailure

API_SOCKET = "/run/api.sock"
VSOCK = "/run/vsock.sock"
METRICS = "/run/metrics"
_CGROUPS = Path("/sys/fs/cgroup")
_MAX_FILES = 256
_MAX_SOCKET_PATH = 107


@dataclass(frozen=True, slots=True)
class Programs:
    """Firecracker's two binaries."""

    jailer: str
    firecracker: str


class Jail:
    """One jail below `base`; `uid` belongs to it alone while it exists."""

    def __init__(self, base: Path, machine_id: str, uid: int) -> None:
        self._base = base
        self._id = machine_id
        self._uid = uid

    def command(self, programs: Programs, max_file_bytes: int) -> list[str]:
        """The jailer's arguments; it turns itself into Firecracker, so its process is the machine's."""
        return [
            programs.jailer, "--id", self._id, "--exec-file", programs.firecracker,
            "--uid", str(self._uid), "--gid", str(self._uid), "--chroot-base-dir", str(self._base),
            "--cgroup-version", "2",
            "--resource-limit", f"no-file={_MAX_FILES}", "--resource-limit", f"fsize={max_file_bytes}",
            "--", "--api-sock", API_SOCKET,
        ]  # fmt: skip

    def fill(self, program: str, files: Mapping[str, Path]) -> None:
        """Make the folder and put `files` into it, by their names inside."""
        self._root = self._base / Path(program).name / self._id / "root"
        run = self._root / "run"
        if len(str(self.outside(VSOCK))) > _MAX_SOCKET_PATH:
            raise SandboxFailure(f"{self._base} is too long a path for unix sockets", hint="Shorten SKYSCALE_DATA_DIR.")
        run.mkdir(parents=True)
        for name, source in files.items():
            try:
                os.link(source, self._root / name)
            except OSError:
                shutil.copyfile(source, self._root / name)
        (self._root / METRICS[1:]).touch()
        for path in (run, self._root / METRICS[1:]):
            with contextlib.suppress(PermissionError):  # the jailer itself will say that it needs root
                os.chown(path, self._uid, self._uid)

    def outside(self, path: str) -> Path:
        """The host's name of a path inside."""
        return self._root / path.removeprefix("/")

    def remove(self) -> None:
        """The folder, with all that the machine left in it, and its cgroup."""
        shutil.rmtree(self._root.parent, ignore_errors=True)
        remove_cgroup(self._root.parents[1].name, self._id)


def remove_cgroup(program: str, machine_id: str) -> None:
    """What the jailer made for it below its parent group, where it made one."""
    with contextlib.suppress(OSError):
        (_CGROUPS / program / machine_id).rmdir()
