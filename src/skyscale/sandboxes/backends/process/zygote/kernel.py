"""System calls that the standard library lacks, by ctypes. Each raises OSError with its name on failure.

`PyDLL` keeps the GIL across the call: a clone must not return in a child whose GIL belongs to an absent thread.
"""

import ctypes
import os
import platform
import signal

MACHINE = platform.machine()
_NUMBERS = {
    "x86_64": {"clone": 56, "pivot_root": 155, "capset": 126},
    "aarch64": {"clone": 220, "pivot_root": 41, "capset": 91},
}
_SAME_EVERYWHERE = {
    "close_range": 436, "landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446,
}  # fmt: skip

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_CLONE_PIDFD = 0x00001000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE = 16384, 1 << 18
_MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
PR_SET_SECCOMP, _PR_CAP_AMBIENT = 22, 47
_CAP_V3 = 0x20080522
_LAST_CAP = 63
_MOST_DESCRIPTORS = 4096
_SIGCHLD = int(signal.SIGCHLD)

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


# One function object per call that is made for every episode: numbers pass as they are, without an object for each.
_syscall_5 = ctypes.PyDLL(None, use_errno=True)["syscall"]
_syscall_5.restype = ctypes.c_long
_syscall_5.argtypes = [ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
_CLONE = _NUMBERS[MACHINE]["clone"]
_pidfd = ctypes.c_int(-1)
_pidfd_address = ctypes.addressof(_pidfd)

_cap_header = (ctypes.c_uint32 * 2)(_CAP_V3, 0)
_cap_data = (ctypes.c_uint32 * 6)()
_cap_header_pointer, _cap_data_pointer = ctypes.byref(_cap_header), ctypes.byref(_cap_data)
# made once: each new ctypes object in an episode copies pages


def syscall(name: str, *arguments: object) -> int:
    """One raw system call; integers are passed as C longs."""
    number = _SAME_EVERYWHERE.get(name) or _NUMBERS[MACHINE][name]
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(name, _libc.syscall(ctypes.c_long(number), *converted))


def _checked(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def clone(flags: int) -> tuple[int, int]:
    """Fork into new namespaces: (0, -1) in the child, (pid, pidfd) in the parent. Single-threaded processes only.

    Python's fork hooks are left out on purpose. They repair locks and threads that a single-threaded process does not
    have, and they cost 190 page faults of 575 per episode; the random state, which they also renew, is seeded per job.
    """
    pid = _syscall_5(_CLONE, flags | _CLONE_PIDFD | _SIGCHLD, 0, _pidfd_address, 0, 0)
    if pid > 0:
        return pid, _pidfd.value
    return _checked("clone", pid), -1


def fork() -> int:
    """A plain fork without Python's hooks: 0 in the child, its pid in the parent."""
    return _checked("clone", _syscall_5(_CLONE, _SIGCHLD, 0, None, 0, 0))


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    _checked("unshare", _libc.unshare(flags))


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """mount(2)."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _checked("mount", _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]))


def pivot_into(new_root: str) -> None:
    """Make `new_root` the root directory and let go of the old one altogether."""
    os.chdir(new_root)
    syscall("pivot_root", ctypes.c_char_p(b"."), ctypes.c_char_p(b"."))
    _checked("umount2", _libc.umount2(b".", _MNT_DETACH))
    os.chdir("/")


def prctl(option: int, second: int = 0, third: int = 0) -> None:
    """prctl(2)."""
    _checked("prctl", _libc.prctl(option, second, third, 0, 0))


def die_with_parent() -> None:
    """SIGKILL when the parent ends; a change of uid clears it, so call this after the change."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def set_undumpable() -> None:
    """No core dumps, and no ptrace or /proc access by processes of the same uid."""
    prctl(_PR_SET_DUMPABLE, 0)


def set_no_new_privileges() -> None:
    """No set-uid program can ever raise what this process may do; also the condition for seccomp and landlock."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Empty the bounding, ambient, effective, permitted and inheritable sets."""
    for capability in range(_LAST_CAP + 1):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # EINVAL: the kernel knows no more capabilities
    prctl(_PR_CAP_AMBIENT, 4)  # PR_CAP_AMBIENT_CLEAR_ALL
    keep_capabilities(0)


def keep_capabilities(mask: int) -> None:
    """Keep only the capabilities of `mask` (all below 32), none of them inheritable."""
    _cap_data[0] = _cap_data[1] = mask
    syscall("capset", _cap_header_pointer, _cap_data_pointer)


def close_from(first: int) -> None:
    """Close every descriptor from `first` on."""
    try:
        syscall("close_range", first, 0x7FFFFFFF, 0)
    except OSError:  # gVisor's kernel may not know it
        os.closerange(first, _MOST_DESCRIPTORS)
