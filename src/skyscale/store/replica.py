"""The name of a control-plane process, and whether the process that a name belongs to is known to be gone.

    <host>-<PID namespace>:<pid>:<id>

The host's name and the PID namespace say where a pid means something: containers of one host that share its name do not
take each other for dead. Who is elsewhere is never known to be gone; only his silence tells.
"""

import os
import socket
from pathlib import Path

from skyscale.wire.base import new_id

_MINE: set[str] = set()
"""Names given in this process: a process may hold several control planes, and a pid be given to a successor."""


def own_name() -> str:
    """A name for a control plane of this process."""
    name = f"{_place()}:{os.getpid()}:{new_id('cp')}"
    _MINE.add(name)
    return name


def retire(name: str) -> None:
    """The control plane of that name has ended, though its process goes on."""
    _MINE.discard(name)


def is_name(text: str) -> bool:
    """Whether it can be the name of a control plane."""
    parts = text.rsplit(":", 2)
    return len(parts) == 3 and parts[1].isdecimal()


def is_here(name: str) -> bool:
    """Whether its process is or was one that can be looked up from here."""
    return name.rsplit(":", 2)[0] == _place()


def is_known_dead(name: str) -> bool:
    """Whether its process was here and is not any more."""
    if not is_here(name):
        return False
    pid = name.rsplit(":", 2)[1]
    if int(pid) == os.getpid():
        return name not in _MINE
    return not _is_process(int(pid))


def _place() -> str:
    return f"{socket.gethostname()[:100]}-{Path('/proc/self/ns/pid').stat().st_ino:x}"


def _is_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
