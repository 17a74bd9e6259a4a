"""Landlock: read-only standard library, writable scratch folder, nothing else; no signals or sockets to outside."""

import os
import struct

from . import kernel

_READ = (1 << 2) | (1 << 3)  # READ_FILE | READ_DIR
_WRITE = (1 << 1) | (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8)  # WRITE_FILE REMOVE_DIR REMOVE_FILE MAKE_DIR MAKE_REG
_READ_WRITE_FILE = (1 << 1) | (1 << 2)
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many file-system rights each ABI version knows; later ones have 16."""


def abi() -> int:
    """The kernel's landlock version; raises OSError where it has none."""
    return kernel.syscall("landlock_create_ruleset", 0, 0, 1)


class Rules:
    """What an episode may touch, in the kernel's form; made in the zygote, whose descriptors the episode inherits."""

    def __init__(self, readable: list[str], device: str) -> None:
        version = abi()
        handled_fs = (1 << _FS_BITS.get(version, 16)) - 1
        handled_net = 3 if version >= 4 else 0  # bind and connect of TCP
        scoped = 3 if version >= 6 else 0  # abstract unix sockets, signals
        size = 8 if version < 4 else 16 if version < 6 else 24
        self.attributes = struct.pack("@QQQ", handled_fs, handled_net, scoped)[:size]
        self.fixed = [_rule(_opened(path), _READ) for path in readable] + [_rule(_opened(device), _READ_WRITE_FILE)]
        self._writable_rights = _READ | _WRITE | (1 << 14 if version >= 3 else 0)  # truncate

    def writable(self, descriptor: int) -> bytes:
        """The rule for the scratch folder, once it is open as `descriptor`."""
        return _rule(descriptor, self._writable_rights)


def _opened(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def _rule(descriptor: int, rights: int) -> bytes:
    return struct.pack("=Qi", rights, descriptor)
