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


class Rules:
    """What an episode may touch: prepared in the zygote as far as it can be, applied in each episode.

    Its descriptors are inherited by the episode, which closes them after `restrict`.
    """

    def __init__(self, readable: list[str], writable: str, device: str) -> None:
        version = abi()
        handled_fs = (1 << _FS_BITS.get(version, 16)) - 1
        handled_net = 3 if version >= 4 else 0  # bind and connect of TCP
        scoped = 3 if version >= 6 else 0  # abstract unix sockets, signals
        self._attributes = (ctypes.c_uint64 * 3)(handled_fs, handled_net, scoped)
        self._size = 8 if version < 4 else 16 if version < 6 else 24
        self._rules = [_rule(path, _READ) for path in readable] + [_rule(device, _READ_WRITE_FILE)]
        self._writable = writable
        self._writable_rights = _READ | _WRITE | (1 << 14 if version >= 3 else 0)  # truncate

    def restrict(self) -> None:
        """Confine this process for ever; needs no_new_privs."""
        ruleset = kernel.syscall("landlock_create_ruleset", ctypes.byref(self._attributes), self._size, 0)
        scratch = _rule(self._writable, self._writable_rights)  # the episode's own mount, hence only now
        for rule in (*self._rules, scratch):
            kernel.syscall("landlock_add_rule", ruleset, 1, rule, 0)
        kernel.syscall("landlock_restrict_self", ruleset, 0)


_READ_WRITE_FILE = (1 << 1) | (1 << 2)


def _rule(path: str, rights: int) -> ctypes.c_char_p:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    return ctypes.c_char_p(rights.to_bytes(8, "little") + descriptor.to_bytes(4, "little"))
