"""Who holds a sandbox: a control plane, by host name, process id and a name of its own.

A holder on this machine is gone as soon as its process is; one elsewhere when its lease has lapsed.
"""

import os
import socket
from datetime import datetime

from skyscale.errors import Unavailable
from skyscale.wire.base import new_id


def own_name() -> str:
    """The name of this control plane."""
    return f"{socket.gethostname()[:100]}:{os.getpid()}:{new_id('cp')}"


def is_gone(holder: str, lease_until: datetime, *, own: str, now: datetime) -> bool:
    """Whether a holder's sandboxes are nobody's any more."""
    if holder == own:
        return False
    host, pid, _ = holder.rsplit(":", 2)
    is_here = host == own.rsplit(":", 2)[0]
    return lease_until < now or (is_here and not _is_process(int(pid)))


def _is_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class HeldElsewhere(Unavailable):
    """Another control plane holds the sandbox."""

    def __init__(self, sandbox_id: str, holder: str) -> None:
        self.holder = holder
        super().__init__(
            f"sandbox {sandbox_id!r} is held by another control plane, {holder}",
            code="sandbox_elsewhere",
            hint="Ask that one (GET /api/replicas has its address); if it is gone, the sandbox ends within seconds.",
        )
