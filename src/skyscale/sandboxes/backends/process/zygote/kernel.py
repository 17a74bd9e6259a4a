"""System calls that the standard library lacks, by ctypes. Each raises OSError with its name on failure.

`PyDLL` keeps the GIL across the call: a clone must not return in a child whose GIL belongs to an absent thread.
"""

import ctypes
import os
import platform
import signal
import struct

MACHINE = platform.machine()
_NUMBERS = {
    "x86_64": {
        "clone": 56, "pivot_root": 155, "capset": 126, "mount": 165, "prctl": 157, "prlimit64": 302, "openat": 257,
        "close": 3, "chdir": 80,
    },
    "aarch64": {
        "clone": 220, "pivot_root": 41, "capset": 91, "mount": 40, "prctl": 167, "prlimit64": 261, "openat": 56,
        "close": 57, "chdir": 49,
    },
}  # fmt: skip
_SAME_EVERYWHERE = {
    "close_range": 436, "landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446,
}  # fmt: skip

_CLOSE_RANGE = _SAME_EVERYWHERE["close_range"]
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
_PR_CAPBSET_READ, _PR_CAP_AMBIENT_CLEAR_ALL = 23, 4
_SIGCHLD = int(signal.SIGCHLD)
_CLONE = _NUMBERS[MACHINE]["clone"]

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


_raw = ctypes.PyDLL(None)["syscall"]
_raw.restype = ctypes.c_long
_errno = ctypes.PyDLL(None)["__errno_location"]
_errno.restype = ctypes.c_void_p
_pidfd = ctypes.c_int(-1)
_pidfd_reference = ctypes.byref(_pidfd)

Argument = int | bytes | None
"""Of a prepared call: a number below 2**31, memory that the kernel only reads, or NULL."""
Prepared = tuple[int, Argument, Argument, Argument, Argument, Argument]


def number_of(name: str) -> int:
    """The number of a system call on this machine."""
    return _SAME_EVERYWHERE.get(name) or _NUMBERS[MACHINE][name]


def syscall(name: str, *arguments: object) -> int:
    """One raw system call; integers are passed as C longs."""
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(name, _libc.syscall(ctypes.c_long(number_of(name)), *converted))


def prepared(name: str, *arguments: Argument) -> Prepared:
    """A call to be made later, by `call`, as often as wanted."""
    filled: list[Argument] = [*arguments, *[0] * (5 - len(arguments))]
    return number_of(name), filled[0], filled[1], filled[2], filled[3], filled[4]


def call(request: Prepared) -> int:
    """Make a prepared call: its result, negative on failure (`last_error` says why).

    No object is made on the way and one function serves all calls: in a forked process every page that is written to
    is copied first, which costs more than most calls.
    """
    return _raw(*request)


def last_error() -> OSError:
    """Why the call before this one failed."""
    number = ctypes.c_int.from_address(_errno()).value
    return OSError(number, os.strerror(number))


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
    pid = _raw(_CLONE, flags | _CLONE_PIDFD | _SIGCHLD, 0, _pidfd_reference, 0, 0)
    if pid > 0:
        return pid, _pidfd.value
    if pid < 0:
        raise last_error()
    return 0, -1


def fork() -> int:
    """A plain fork without Python's hooks: 0 in the child, its pid in the parent."""
    pid = _raw(_CLONE, _SIGCHLD, 0, None, 0, 0)
    if pid < 0:
        raise last_error()
    return pid


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


def make(request: Prepared) -> None:
    """Make a prepared call that must succeed."""
    if call(request) < 0:
        raise last_error()


def dying_with_parent() -> Prepared:
    """SIGKILL when the parent ends; a change of uid clears it, so to be made after the change."""
    return prepared("prctl", _PR_SET_PDEATHSIG, int(signal.SIGKILL))


def being_undumpable() -> Prepared:
    """No core dumps, and no ptrace or /proc access by processes of the same uid."""
    return prepared("prctl", _PR_SET_DUMPABLE, 0)


def having_no_new_privileges() -> Prepared:
    """No set-uid program can ever raise what this process may do; also the condition for seccomp and landlock."""
    return prepared("prctl", _PR_SET_NO_NEW_PRIVS, 1)


def dropping_capabilities() -> list[Prepared]:
    """Empty the bounding set, capability by capability that this kernel knows, and then the other sets."""
    known = [n for n in range(_LAST_CAP + 1) if call(prepared("prctl", _PR_CAPBSET_READ, n)) >= 0]
    bounding = [prepared("prctl", _PR_CAPBSET_DROP, n) for n in known]
    none = prepared("capset", struct.pack("@II", _CAP_V3, 0), bytes(24))
    return [*bounding, prepared("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL), none]


def die_with_parent() -> None:
    """Make the call of `dying_with_parent`."""
    make(dying_with_parent())


def set_undumpable() -> None:
    """Make the call of `being_undumpable`."""
    make(being_undumpable())


def set_no_new_privileges() -> None:
    """Make the call of `having_no_new_privileges`."""
    make(having_no_new_privileges())


def drop_capabilities() -> None:
    """Make the calls of `dropping_capabilities`."""
    for request in dropping_capabilities():
        make(request)


def keep_capabilities(mask: int) -> None:
    """Keep only the capabilities of `mask` (all below 32), none of them inheritable."""
    make(prepared("capset", struct.pack("@II", _CAP_V3, 0), struct.pack("@IIIIII", mask, mask, 0, 0, 0, 0)))


def close_from(first: int) -> None:
    """Close every descriptor from `first` on."""
    if _raw(_CLOSE_RANGE, first, 0x7FFFFFFF, 0, 0, 0) < 0:  # gVisor's kernel may not know it
        os.closerange(first, _MOST_DESCRIPTORS)
