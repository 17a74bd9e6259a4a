"""Seccomp: an allow-list of system calls as BPF, assembled here; pure, but for `Filter.install`.

- Two filters stack. `base_program` is in force before a slot is ready; `job_program` is added when the job's limits are
  known and takes away what only our own start-up needed (prctl, memfd_create, seccomp) and, without `fork`, all clones.
- A refused call returns EPERM (clone3: ENOSYS, so that libc falls back to clone, whose flags a filter can see).
- Call numbers differ by machine; on an unknown one `base_program` raises, and the layer is reported missing.
"""

import ctypes
import functools
import struct

from . import kernel

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_NAMESPACE_FLAGS = 0x7E020080  # every CLONE_NEW*, CLONE_NEWTIME included
_AF_UNIX = 1
_IOCTLS = (0x5401, 0x5421, 0x5450, 0x5451)  # TCGETS FIONBIO FIONCLEX FIOCLEX: what opening a file asks

# name: (x86_64, aarch64); None where the machine has no such call
CALLS: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "open": (2, None), "close": (3, 57), "stat": (4, None), "fstat": (5, 80),
    "lstat": (6, None), "poll": (7, None), "lseek": (8, 62), "mmap": (9, 222), "mprotect": (10, 226),
    "munmap": (11, 215), "brk": (12, 214), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139), "pread64": (17, 67), "pwrite64": (18, 68), "readv": (19, 65), "writev": (20, 66),
    "access": (21, None), "pipe": (22, None), "select": (23, None), "sched_yield": (24, 124), "mremap": (25, 216),
    "madvise": (28, 233), "dup": (32, 23), "dup2": (33, None), "nanosleep": (35, 101), "getitimer": (36, 102),
    "alarm": (37, None), "setitimer": (38, 103), "getpid": (39, 172), "recvfrom": (45, 207), "exit": (60, 93),
    "wait4": (61, 260), "uname": (63, 160), "fcntl": (72, 25), "fsync": (74, 82), "fdatasync": (75, 83),
    "truncate": (76, 45), "ftruncate": (77, 46), "getdents": (78, None), "getcwd": (79, 17), "chdir": (80, 49),
    "fchdir": (81, 50), "rename": (82, None), "mkdir": (83, None), "rmdir": (84, None), "unlink": (87, None),
    "readlink": (89, None), "umask": (95, 166), "gettimeofday": (96, 169), "getrlimit": (97, 163),
    "getrusage": (98, 165), "sysinfo": (99, 179), "times": (100, 153), "getuid": (102, 174), "getgid": (104, 176),
    "geteuid": (107, 175), "getegid": (108, 177), "getppid": (110, 173), "getpgrp": (111, None),
    "getgroups": (115, 158), "getresuid": (118, 148), "getresgid": (120, 150), "getpgid": (121, 155),
    "getsid": (124, 156), "sigaltstack": (131, 132), "arch_prctl": (158, None), "gettid": (186, 178),
    "time": (201, None), "futex": (202, 98), "sched_getaffinity": (204, 123), "getdents64": (217, 61),
    "set_tid_address": (218, 96), "restart_syscall": (219, 128), "clock_gettime": (228, 113),
    "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "exit_group": (231, 94), "epoll_wait": (232, None),
    "epoll_ctl": (233, 21), "tgkill": (234, 131), "openat": (257, 56), "mkdirat": (258, 34),
    "newfstatat": (262, 79), "unlinkat": (263, 35), "renameat": (264, 38), "readlinkat": (267, 78),
    "faccessat": (269, 48), "pselect6": (270, 72), "ppoll": (271, 73), "set_robust_list": (273, 99),
    "epoll_pwait": (281, 22), "eventfd2": (290, 19), "epoll_create1": (291, 20), "dup3": (292, 24),
    "pipe2": (293, 59), "prlimit64": (302, 261), "getrandom": (318, 278), "renameat2": (316, 276),
    "statx": (332, 291), "rseq": (334, 293), "faccessat2": (439, 439), "close_range": (436, 436),
}  # fmt: skip
_START_UP: dict[str, tuple[int | None, int | None]] = {
    "prctl": (157, 167), "memfd_create": (319, 279), "seccomp": (317, 277),
}  # fmt: skip
_FORKS: dict[str, tuple[int | None, int | None]] = {"fork": (57, None), "vfork": (58, None)}
_CLONE, _CLONE3, _IOCTL = (56, 220), (435, 435), (16, 29)
_SOCKETPAIR, _SENDTO = (53, 199), (44, 206)


def base_program(machine: str) -> bytes:
    """The filter of every slot from its birth."""
    column = _column(machine)
    refuse = _ret(_ERRNO | _EPERM)
    answers = {
        number: _ret(_ALLOW)
        for table in (CALLS, _START_UP, _FORKS)
        for numbers in table.values()
        if (number := numbers[column]) is not None
    }
    clone, clone3, ioctl, pair, send = (calls[column] for calls in (_CLONE, _CLONE3, _IOCTL, _SOCKETPAIR, _SENDTO))
    answers[clone] = _when_argument(clone, 0, _NAMESPACE_FLAGS, None) + refuse
    answers[clone3] = _ret(_ERRNO | _ENOSYS)
    answers[ioctl] = b"".join(_when_argument(ioctl, 1, None, command) for command in _IOCTLS) + refuse
    answers[pair] = _when_argument(pair, 0, None, _AF_UNIX) + refuse
    answers[send] = _when_argument(send, 4, 0xFFFFFFFF, None) + refuse  # no address: only on what is connected
    return _check_machine(machine) + _tree(_ranges(answers, refuse))


def job_program(machine: str, *, allow_fork: bool) -> bytes:
    """The second filter, which only takes away."""
    column = _column(machine)
    code = _check_machine(machine)
    for numbers in _START_UP.values():
        code += _answer(numbers[column], _ERRNO | _EPERM)
    if not allow_fork:
        for numbers in (*_FORKS.values(), _CLONE):
            code += _answer(numbers[column], _ERRNO | _EPERM)
    return code + _ret(_ALLOW)


def _column(machine: str) -> int:
    if machine not in _AUDIT_ARCH:
        raise OSError(0, f"call numbers of {machine} are not known")
    return list(_AUDIT_ARCH).index(machine)


class Filter:
    """A program in the form that the kernel takes; made once in the zygote, installed in each episode."""

    def __init__(self, program: bytes) -> None:
        self._buffer = ctypes.create_string_buffer(program, len(program))
        header = struct.pack("@HP", len(program) // 8, ctypes.addressof(self._buffer))
        self.installing = kernel.prepared("prctl", kernel.PR_SET_SECCOMP, 2, header)  # 2: SECCOMP_MODE_FILTER

    def install(self) -> None:
        """Add it to this process; needs no_new_privs."""
        kernel.make(self.installing)


def install(program: bytes) -> None:
    """Add a filter to this process, for once; needs no_new_privs."""
    Filter(program).install()


@functools.cache
def job_filter(*, allow_fork: bool) -> Filter:
    """The second filter of this machine."""
    return Filter(job_program(kernel.MACHINE, allow_fork=allow_fork))


def _instruction(code: int, jump_true: int, jump_false: int, value: int) -> bytes:
    return struct.pack("<HBBI", code, jump_true, jump_false, value)


def _load(offset: int) -> bytes:
    return _instruction(0x20, 0, 0, offset)


def _ret(action: int) -> bytes:
    return _instruction(0x06, 0, 0, action)


def _check_machine(machine: str) -> bytes:
    """Kill on another instruction set; refuse the x32 numbers of x86_64."""
    code = _load(4) + _instruction(0x15, 1, 0, _AUDIT_ARCH[machine]) + _ret(_KILL) + _load(0)
    return code + _instruction(0x35, 0, 1, 0x40000000) + _ret(_ERRNO | _EPERM)


def _ranges(answers: dict[int, bytes], otherwise: bytes) -> list[tuple[int, bytes]]:
    """Where each run of equally answered numbers begins, from 0 on."""
    found = [(0, answers.get(0, otherwise))]
    for number in sorted({edge for known in answers for edge in (known, known + 1)}):
        answer = answers.get(number, otherwise)
        if number > 0 and answer != found[-1][1]:
            found.append((number, answer))
    return found


def _tree(ranges: list[tuple[int, bytes]]) -> bytes:
    """A binary search. At install the kernel tries a filter on every call number, so a long chain costs 0.2 ms."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _tree(ranges[:middle]), _tree(ranges[middle:])
    return _instruction(0x35, len(below) // 8, 0, ranges[middle][0]) + below + above


def _answer(number: int | None, action: int) -> bytes:
    return b"" if number is None else _instruction(0x15, 0, 1, number) + _ret(action)


def _when_argument(number: int, index: int, no_bits: int | None, equals: int | None) -> bytes:
    """Allow call `number` when its argument has none of `no_bits` set, or `equals`; the other half must be zero.

    The accumulator holds the call's number before and after.
    """
    low, high = 16 + 8 * index, 20 + 8 * index
    test = _instruction(0x45, 1, 0, no_bits) if no_bits is not None else _instruction(0x15, 0, 1, equals or 0)
    inner = _load(high) + _instruction(0x15, 0, 3, 0) + _load(low) + test + _ret(_ALLOW) + _load(0)
    return _instruction(0x15, 0, len(inner) // 8, number) + inner


# What shells and their tools need on top: programs, signals among the sandbox's own processes, links, file times.
_SHELL: dict[str, tuple[int | None, int | None]] = {
    "execve": (59, 221), "kill": (62, 129), "tkill": (200, 130), "setpgid": (109, 154), "setsid": (112, 157),
    "waitid": (247, 95), "pause": (34, None), "rt_sigpending": (127, 136), "rt_sigtimedwait": (128, 137),
    "rt_sigsuspend": (130, 133), "creat": (85, None), "link": (86, None), "linkat": (265, 37), "symlink": (88, None),
    "symlinkat": (266, 36), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88), "flock": (73, 32),
    "statfs": (137, 43), "fstatfs": (138, 44), "fadvise64": (221, 223), "fallocate": (285, 47), "msync": (26, 227),
    "copy_file_range": (326, 285), "sendfile": (40, 71), "getpriority": (140, 141), "setrlimit": (160, 164),
    "sched_getscheduler": (145, 120), "sched_getparam": (143, 121), "getcpu": (309, 168), "capget": (125, 90),
    "getxattr": (191, 8), "lgetxattr": (192, 9), "fgetxattr": (193, 10), "listxattr": (194, 11),
    "llistxattr": (195, 12), "flistxattr": (196, 13), "sync_file_range": (277, 84), "shutdown": (48, 210),
}  # fmt: skip
# What the sandbox's first process needs to serve and to put the second filter on, and no program ever.
_KEEPING: dict[str, tuple[int | None, int | None]] = {
    "prctl": (157, 167), "seccomp": (317, 277), "sendmsg": (46, 211), "recvmsg": (47, 212),
    "landlock_create_ruleset": (444, 444), "landlock_add_rule": (445, 445), "landlock_restrict_self": (446, 446),
}  # fmt: skip
_PRLIMIT = (302, 261)


def keeping_program(machine: str) -> bytes:
    """The filter of an interactive sandbox's first process, which only our own code runs in."""
    column = _column(machine)
    code = _check_machine(machine)
    # One's own limits only: those of the first process would be in reach, having the same user.
    code += _when_argument(_PRLIMIT[column], 0, None, 0) + _answer(_PRLIMIT[column], _ERRNO | _EPERM)
    for table in (CALLS, _SHELL, _FORKS, _KEEPING):
        for numbers in table.values():
            code += _answer(numbers[column], _ALLOW)
    code += _when_argument(_CLONE[column], 0, _NAMESPACE_FLAGS, None)
    code += _answer(_CLONE3[column], _ERRNO | _ENOSYS)
    for command in _IOCTLS:
        code += _when_argument(_IOCTL[column], 1, None, command)
    code += _when_argument(_SOCKETPAIR[column], 0, None, _AF_UNIX)
    code += _when_argument(_SENDTO[column], 4, 0xFFFFFFFF, None)
    return code + _ret(_ERRNO | _EPERM)


def command_program(machine: str) -> bytes:
    """The second filter, of every program in an interactive sandbox; it only takes away."""
    column = _column(machine)
    code = _check_machine(machine)
    for numbers in _KEEPING.values():
        code += _answer(numbers[column], _ERRNO | _EPERM)
    return code + _ret(_ALLOW)
