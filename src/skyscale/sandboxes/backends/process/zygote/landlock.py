"""Landlock: read-only standard library, writable scratch folder, nothing else; no signals or sockets to outside."""

import ctypes
import os

from . import kernel

_READ = (1 << 2) | (1 << 3)  # READ_FILE | READ_DIR
_WRITE = (1 << 1) | (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8)  # WRITE_FILE REMOVE_DIR REMOVE_FILE MAKE_DIR MAKE_REG
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many file-system rights each ABI version knows; later ones have 16."""


def abi() -> int:
    """The kernel's landlock version; raises OSError where it has none."""
    return kernel.syscall("landlock_create_ruleset", 0, 0, 1)


def restrict(readable: list[str], writable: list[str]) -> None:
    """Confine this process for ever; needs no_new_privs."""
    version = abi()
    handled_fs = (1 << _FS_BITS.get(version, 16)) - 1
    handled_net = 3 if version >= 4 else 0  # bind and connect of TCP
    scoped = 3 if version >= 6 else 0  # abstract unix sockets, signals
    attributes = (ctypes.c_uint64 * 3)(handled_fs, handled_net, scoped)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = kernel.syscall("landlock_create_ruleset", ctypes.byref(attributes), size, 0)
    truncate = 1 << 14 if version >= 3 else 0
    for path in readable:
        _allow(ruleset, path, _READ)
    for path in writable:
        _allow(ruleset, path, _READ | _WRITE | truncate if os.path.isdir(path) else _READ_WRITE_FILE)  # noqa: PTH112
    kernel.syscall("landlock_restrict_self", ruleset, 0)
    os.close(ruleset)


_READ_WRITE_FILE = (1 << 1) | (1 << 2)


def _allow(ruleset: int, path: str, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = rights.to_bytes(8, "little") + descriptor.to_bytes(4, "little")
    kernel.syscall("landlock_add_rule", ruleset, 1, ctypes.c_char_p(rule), 0)
    os.close(descriptor)
