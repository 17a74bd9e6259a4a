"""How much memory the processes of a workspace use together, read from outside.

Limits of the kernel are per process; the sum is what matters to the host. Where no cgroup can be had it is watched, a
few times a second while a command runs: what can be taken between two looks is bounded by the speed of page faults.
"""

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MOST_PROCESSES = 4096
WATCH_S = 0.1


def resident_bytes(first_pid: int) -> int:
    """Resident memory of a process and all its descendants, in bytes; shared pages of files are not counted."""
    total, queue, seen = 0, [first_pid], 0
    while queue and seen < _MOST_PROCESSES:
        pid = queue.pop()
        seen += 1
        try:
            folder = Path(f"/proc/{pid}")
            _, resident, shared, *_ = (folder / "statm").read_text(encoding="ascii").split()
            for task in (folder / "task").iterdir():
                queue += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
        except (OSError, ValueError):
            continue  # it ended while we looked
        total += max(0, int(resident) - int(shared)) * _PAGE
    return total
