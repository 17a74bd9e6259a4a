"""The layers of isolation: `Base` once per zygote, `enter_episode` once per episode. Each is tried and reported.

- A layer that fails is recorded in `layers` as `no: reason`, never skipped in silence; the backend decides whether what
  is left is enough.
- Base: own mount, network, IPC and UTS namespaces, and a root of a few read-only binds: no host file is reachable.
- Episode: own user, PID and mount namespaces, a uid of its own, private /tmp, no capabilities, landlock, seccomp.
- clone + uid_map alone leave the kernel's uid unchanged: `setresuid` inside is what changes it.
- What an episode does is prepared in the zygote (`steps.py`); so are the words in which it reports it.
- Process groups span PID namespaces: without `setsid` a kill(0) would reach the zygote and the control plane.
"""

import os
import resource
import socket
import sys
from collections.abc import Callable

from . import kernel, landlock, seccomp, steps

YES = "yes"
_NEW_ROOT = "/tmp"  # the tmpfs of the new root is mounted over it, in the zygote's own mount namespace
_SHARED_SPACES = kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_ZYGOTE_CAPABILITIES = (1 << 5) | (1 << 6) | (1 << 7) | (1 << 31)
"""KILL, SETGID, SETUID, SETFCAP: end episodes and map their users (SETFCAP where the map's outer id is 0)."""
_UIDS_PER_ZYGOTE = 1000
_FIRST_UID = 100_001
_FIRST_UID_IN_CONTAINER = 60_001
"""Where the container's own user namespace has 65536 ids only."""


class Base:
    """The zygote's own isolation, and what its episodes need of it."""

    def __init__(self, index: int) -> None:
        self.layers: dict[str, str] = {}
        self.proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.has_own_uids = os.geteuid() == 0
        self._first_uids = [first + index % 5 * _UIDS_PER_ZYGOTE for first in (_FIRST_UID, _FIRST_UID_IN_CONTAINER)]
        self._count = 0
        self.readable = library_folders()
        self.clone_flags = 0
        self.filter: seccomp.Filter | None = None
        self.rules: landlock.Rules | None = None
        self.steps: list[steps.Step] = []
        """What an episode does to put its layers on, but for the filter; see `prepare`."""
        self.filter_steps: list[steps.Step] = []
        self.promised: dict[str, str] = {}
        """The layers of an episode in which every step succeeds."""

    def enter(self) -> None:
        """Apply every layer that this host allows."""
        self._enter_namespaces()
        self._try("private root", self._build_root)
        self._probe_clone()
        self._try("seccomp", self._assemble)
        self._try("landlock", self._prepare_rules)
        self._try("zygote capabilities", lambda: kernel.keep_capabilities(_ZYGOTE_CAPABILITIES))

    def _enter_namespaces(self) -> None:
        names = "network namespace", "ipc namespace", "uts namespace"
        reason = YES
        try:
            kernel.unshare(_SHARED_SPACES)
        except OSError:
            reason = self._enter_as_root_of_own_user_namespace()
        self.layers.update(dict.fromkeys(names, reason))
        if reason == YES:
            socket.sethostname("sandbox")

    def _enter_as_root_of_own_user_namespace(self) -> str:
        uid, gid = os.geteuid(), os.getegid()
        try:
            kernel.unshare(kernel.CLONE_NEWUSER | _SHARED_SPACES)
            _write_maps(self.proc, "self", f"0 {uid} 1", f"0 {gid} 1")
        except OSError as error:
            return f"no: {error}"
        self.has_own_uids = False
        return YES

    def _build_root(self) -> None:
        kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
        sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in [*self.readable, "/dev/null"]}
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        kernel.mount("sandbox", _NEW_ROOT, "tmpfs", flags, "size=256k,nr_inodes=256,mode=755")
        os.makedirs(_NEW_ROOT + "/tmp", exist_ok=True)  # noqa: PTH103  pathlib is not worth its import here
        for path, descriptor in sources.items():
            _bind(descriptor, path, _NEW_ROOT + path)
        kernel.pivot_into(_NEW_ROOT)
        for folder in self.readable:
            _hide_site_packages(folder)
        kernel.mount("sandbox", "/", None, kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | flags)
        for descriptor in sources.values():
            os.close(descriptor)

    def _probe_clone(self) -> None:
        """Find which namespaces an episode can have here, by making one that ends at once."""
        spaces = {
            "user namespace": kernel.CLONE_NEWUSER,
            "pid namespace": kernel.CLONE_NEWPID,
            "mount namespace": kernel.CLONE_NEWNS,
        }
        self.clone_flags = sum(spaces.values())
        try:
            self._clone_and_map()
        except OSError as error:
            self.clone_flags = 0
            self.layers.update(dict.fromkeys(spaces, f"no: {error}"))
            return
        self.layers.update(dict.fromkeys(spaces, YES))

    def _clone_and_map(self) -> None:
        gate_out, gate_in = os.pipe()
        pid, pidfd = kernel.clone(self.clone_flags)
        if pid == 0:
            os.close(gate_in)
            os.read(gate_out, 1)
            os._exit(0)
        try:
            self.map_user(pid)
        finally:
            for descriptor in (gate_out, gate_in, pidfd):
                os.close(descriptor)
            os.waitpid(pid, 0)

    def prepare(self, tmp_bytes: int) -> None:
        """Make the steps of all episodes to come; after `enter`."""
        found: list[steps.Step] = []
        self.promised = dict(self.layers)
        if self.layers["private root"] == YES and self.layers["mount namespace"] == YES:
            found += steps.private_tmp(tmp_bytes)
        else:
            self.promised["private tmp"] = "no: it would be everybody's"
        found += steps.own_process()
        if self.rules is not None:
            found += steps.confined(self.rules)
        self.steps = found
        self.filter_steps = steps.filtered(self.filter) if self.filter is not None else []
        for name in [step.layer for step in found if step.layer != steps.DIES_WITH_PARENT]:
            self.promised.setdefault(name, YES)

    def _assemble(self) -> None:
        self.filter = seccomp.Filter(seccomp.base_program(kernel.MACHINE))
        for allow_fork in (False, True):
            seccomp.job_filter(allow_fork=allow_fork)

    def _prepare_rules(self) -> None:
        self.rules = landlock.Rules(self.readable, "/dev/null")

    def _try(self, name: str, layer: Callable[[], object]) -> None:
        try:
            layer()
        except OSError as error:
            self.layers[name] = f"no: {error}"
        else:
            self.layers[name] = YES

    def map_user(self, pid: int) -> None:
        """Give the episode's user namespace one user: its root is a uid that nobody else has, where we may choose."""
        if not self.clone_flags & kernel.CLONE_NEWUSER:
            return
        if self.has_own_uids:
            self._count += 1
            for first in self._first_uids:
                uid = first + self._count % _UIDS_PER_ZYGOTE
                try:
                    _write_maps(self.proc, str(pid), f"0 {uid} 1", f"0 {uid} 1")
                except OSError:
                    continue
                self.layers["own uid"] = YES
                self._first_uids = [first]
                return
            self.has_own_uids = False
        self.layers["own uid"] = "no: only root may give each episode a uid of its own"
        _write_maps(self.proc, str(pid), f"0 {os.geteuid()} 1", f"0 {os.getegid()} 1")


def enter_episode(base: Base) -> dict[str, str]:
    """Become the episode, descriptors 0 to 3 and nothing else, before any candidate's code is seen.

    What differs from `base.promised`: nothing, where every layer is on that was on for the episodes before.
    """
    differs: dict[str, str] = {}
    if base.promised["user namespace"] == YES:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    elif os.geteuid() == 0:
        differs["own uid"] = _become_nobody()
    os.setsid()
    differs |= steps.put_on(base.steps)
    if steps.DIES_WITH_PARENT in differs:
        raise OSError(0, f"it would outlive its zygote ({differs[steps.DIES_WITH_PARENT]})")
    kernel.close_from(4)
    return differs | steps.put_on(base.filter_steps)


def _become_nobody() -> str:
    """Without a user namespace, root becomes a uid that owns nothing; the layer's state."""
    try:
        os.setgroups([])
        os.setresgid(_FIRST_UID, _FIRST_UID, _FIRST_UID)
        os.setresuid(_FIRST_UID, _FIRST_UID, _FIRST_UID)
    except OSError as error:
        return f"no: {error}"
    return YES


def library_folders() -> list[str]:
    """The standard library's folders; one inside another is not listed."""
    folders = sorted({os.path.realpath(path) for path in sys.path if os.path.isdir(path)} | _spelled())  # noqa: PTH112
    return [f for f in folders if not any(f != other and f.startswith(other + "/") for other in folders)]


def _spelled() -> set[str]:
    """As `sys.path` spells them, which is how the interpreter will ask for them."""
    return {path for path in sys.path if os.path.isdir(path)}  # noqa: PTH112


def limit_for_job(memory_bytes: int, cpu_s: int, file_bytes: int, max_processes: int) -> None:
    """Lower the limits to the job's; hard limits, so they never rise again."""
    for kind, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NPROC, max_processes),
    ):
        resource.setrlimit(kind, (value, value))


def _write_maps(proc: int, pid: str, uid_map: str, gid_map: str) -> None:
    for name, text in (("setgroups", "deny"), ("uid_map", uid_map), ("gid_map", gid_map)):
        descriptor = os.open(f"{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def _bind(source: int, original: str, target: str) -> None:
    """Bind what `source` is open on, read-only but for devices; keeps the flags that the host's mount is locked to."""
    origin = f"/proc/self/fd/{source}"
    if os.path.isdir(origin):  # noqa: PTH112
        os.makedirs(target, exist_ok=True)  # noqa: PTH103
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))
    kernel.mount(origin, target, None, kernel.MS_BIND)
    if original.startswith("/dev/"):
        return
    locked = os.statvfs(target).f_flag & (kernel.MS_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME)
    flags = kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount(origin, target, None, kernel.MS_REMOUNT | kernel.MS_BIND | flags | locked)


def _hide_site_packages(folder: str) -> None:
    """Cover installed packages, which lie inside the standard library's folder."""
    for name in ("site-packages", "dist-packages"):
        path = f"{folder}/{name}"
        if os.path.isdir(path):  # noqa: PTH112
            kernel.mount("none", path, "tmpfs", kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV, "size=4k")
