"""The layers of an interactive sandbox: those of an episode, with a root that has programs, and files that stay.

- The root is read-only: the interpreter, its library, the system's programs and libraries, nothing else of the host.
- Writable are `/workspace` and `/tmp`, file systems in memory of bounded size. `/code` holds the running command's
  source and is written by the first process alone.
- The first process (`Keeping`) is init of the PID namespace and runs only our code. Every program (`confine_program`)
  gets lower limits, landlock and a second seccomp filter.
"""

import ctypes
import os
import resource
import sys

from . import kernel, seccomp
from .isolate import YES, Base

WORKSPACE, TMP, CODE = "/workspace", "/tmp", "/code"
PYTHON = "/opt/bin/python3"
ENVIRONMENT = {
    "PATH": "/opt/bin:/usr/bin:/bin", "HOME": WORKSPACE, "TMPDIR": TMP, "LANG": "C.UTF-8", "TERM": "dumb",
    "USER": "root", "SHELL": "/bin/bash", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1",
    "PYTHONPATH": WORKSPACE,
}  # fmt: skip
_NEW_ROOT = "/tmp"
_SYSTEM = ("/usr/bin", "/usr/lib", "/usr/lib64", "/bin", "/lib", "/lib64", "/etc/alternatives")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_ACCOUNTS = {"/etc/passwd": f"root:x:0:0:sandbox:{WORKSPACE}:/bin/bash\n", "/etc/group": "root:x:0:\n"}
_OWN_SPACES = kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_SAFE = kernel.MS_NOSUID | kernel.MS_NODEV
_CODE_BYTES = 8 * 1024 * 1024


class WorkspaceBase(Base):
    """The keeper's own isolation: an episode's, with another root."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.python = os.path.realpath(sys.executable)

    @property
    def all_spaces(self) -> int:
        """Namespaces of each workspace: nothing is shared with another, the empty network included."""
        return self.clone_flags | _OWN_SPACES

    def _build_root(self) -> None:
        kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
        links, folders, files = _what_to_show(self.readable, self.python)
        sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in (*folders, *files, *_DEVICES)}
        kernel.mount("sandbox", _NEW_ROOT, "tmpfs", _SAFE, "size=256k,nr_inodes=512,mode=755")
        for folder in (WORKSPACE, TMP, CODE, "/etc", os.path.dirname(PYTHON)):  # noqa: PTH120
            os.makedirs(_NEW_ROOT + folder, exist_ok=True)  # noqa: PTH103
        for path, text in _ACCOUNTS.items():
            with open(_NEW_ROOT + path, "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(text)
        os.symlink(self.python, _NEW_ROOT + PYTHON)  # noqa: PTH211
        for path, target in links.items():
            os.symlink(target, _NEW_ROOT + path)  # noqa: PTH211
        for path, descriptor in sources.items():
            _show(descriptor, path)
        kernel.pivot_into(_NEW_ROOT)
        for folder in folders:
            _hide_installed_packages(folder)
        kernel.mount("sandbox", "/", None, kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | _SAFE)
        for descriptor in sources.values():
            os.close(descriptor)
        self.readable = [*folders, "/etc", "/opt", *files]


class Keeping:
    """The layers of a workspace's first process."""

    def __init__(self, base: WorkspaceBase, disk_bytes: int, channel: int) -> None:
        self.layers = dict(base.layers)
        self.channel = channel
        """The descriptor that the other side listens to, now."""
        self._base = base
        self._disk_bytes = disk_bytes

    def enter(self) -> None:
        """Become init: the channel as descriptor 3, /dev/null below it, every layer on.

        Raises:
            OSError: a layer cannot be put on; there is no workspace with less.
        """
        if any(self.layers.get(name) != YES for name in ("user namespace", "pid namespace", "private root")):
            raise OSError(0, "a workspace needs its own user and PID namespaces and root")
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        os.setsid()
        nothing = os.open("/dev/null", os.O_RDWR)
        os.dup2(self.channel, 250)
        for target in (0, 1, 2):
            os.dup2(nothing, target)
        os.dup2(250, 3)
        self.channel = 3
        kernel.close_from(4)
        self._mount_writable()
        kernel.die_with_parent()
        kernel.drop_capabilities()
        kernel.set_no_new_privileges()
        kernel.set_undumpable()
        _set_limits({"CORE": 0, "NOFILE": 256, "MEMLOCK": 0, "MSGQUEUE": 0, "STACK": 8 * 1024 * 1024})
        seccomp.install(seccomp.keeping_program(kernel.MACHINE))
        names = "private tmp", "no capabilities", "no new privileges", "not dumpable", "resource limits", "seccomp"
        self.layers.update(dict.fromkeys(names, YES))

    def _mount_writable(self) -> None:
        flags = _SAFE | kernel.MS_NOEXEC
        for path, size, inodes in (
            (WORKSPACE, self._disk_bytes, 16384), (TMP, self._disk_bytes // 4, 4096), (CODE, _CODE_BYTES, 64),
        ):  # fmt: skip
            kernel.mount("files", path, "tmpfs", flags, f"size={size},nr_inodes={inodes},mode=700")


def confine_program(limits: dict[str, int], readable: list[str], *, has_landlock: bool) -> None:
    """The last layers, in a program's own process just before it becomes the program; they never come off again."""
    _set_limits(
        {
            "AS": limits["memory_bytes"],
            "CPU": limits["cpu_s"],
            "FSIZE": limits["disk_bytes"],
            "NPROC": limits["max_processes"] + 1,  # the first process counts, having the same user
        }
    )
    if has_landlock:
        _restrict([*readable, CODE], [WORKSPACE, TMP], list(_DEVICES))
    seccomp.install(seccomp.command_program(kernel.MACHINE))


def _what_to_show(library: list[str], python: str) -> tuple[dict[str, str], list[str], list[str]]:
    """Links to make again, folders to bind, and single files to bind: what the interpreter has mapped elsewhere."""
    links = {path: os.readlink(path) for path in _SYSTEM if os.path.islink(path)}  # noqa: PTH114, PTH115
    folders = [path for path in _SYSTEM if os.path.isdir(path) and path not in links]  # noqa: PTH112
    for path in library:
        if not _is_in(path, folders):
            folders.append(path)
    folders = [path for path in folders if not _is_in(path, [other for other in folders if other != path])]
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:  # noqa: PTH123
        mapped = {line.split(maxsplit=5)[5].strip() for line in maps if line.count(" ") >= 5 and "/" in line}
    files = sorted(
        path
        for path in {python, *mapped}
        if os.path.isfile(path) and not _is_in(path, folders)  # noqa: PTH113
    )
    return links, folders, files


def _is_in(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _show(source: int, path: str) -> None:
    """Bind what `source` is open on at its own path in the new root, read-only but for devices."""
    origin, target = f"/proc/self/fd/{source}", _NEW_ROOT + path
    if os.path.isdir(origin):  # noqa: PTH112
        os.makedirs(target, exist_ok=True)  # noqa: PTH103
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))
    kernel.mount(origin, target, None, kernel.MS_BIND)
    if path in _DEVICES:
        return
    locked = os.statvfs(target).f_flag & (kernel.MS_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME)
    kernel.mount(origin, target, None, kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | _SAFE | locked)


def _hide_installed_packages(folder: str) -> None:
    """Cover what was installed beside the standard library: it is the host's affair, and may name its secrets."""
    inner = [f"{folder}/{name}" for name in os.listdir(folder) if name.startswith("python3")]  # noqa: PTH208
    for place in (folder, *inner):
        for name in ("site-packages", "dist-packages"):
            path = f"{place}/{name}"
            if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114
                kernel.mount("none", path, "tmpfs", kernel.MS_RDONLY | _SAFE, "size=4k")


def _set_limits(limits: dict[str, int]) -> None:
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


_EXECUTE_AND_READ = (1 << 0) | (1 << 2) | (1 << 3)
_ALL_BUT_EXECUTE_AND_DEVICES = 0xFFFF & ~((1 << 0) | (1 << 6) | (1 << 11) | (1 << 15))
"""No EXECUTE, MAKE_CHAR, MAKE_BLOCK, IOCTL_DEV."""
_READ_FOLDER = 1 << 3
_READ_WRITE_FILE = (1 << 1) | (1 << 2)
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15}


def _restrict(executable: list[str], writable: list[str], devices: list[str]) -> None:
    version = kernel.syscall("landlock_create_ruleset", 0, 0, 1)
    known = (1 << _FS_BITS.get(version, 16)) - 1
    attributes = (ctypes.c_uint64 * 3)(known, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = kernel.syscall("landlock_create_ruleset", ctypes.byref(attributes), size, 0)
    rights = dict.fromkeys(executable, _EXECUTE_AND_READ)
    rights["/"] = _READ_FOLDER
    rights |= dict.fromkeys(writable, _ALL_BUT_EXECUTE_AND_DEVICES) | dict.fromkeys(devices, _READ_WRITE_FILE)
    for path, allowed in rights.items():
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not os.path.isdir(path):  # noqa: PTH112
            allowed &= ~_READ_FOLDER  # noqa: PLW2901  READ_DIR has no meaning for a file and is refused
        rule = (allowed & known).to_bytes(8, "little") + descriptor.to_bytes(4, "little")
        kernel.syscall("landlock_add_rule", ruleset, 1, ctypes.c_char_p(rule), 0)
        os.close(descriptor)
    kernel.syscall("landlock_restrict_self", ruleset, 0)
    os.close(ruleset)
