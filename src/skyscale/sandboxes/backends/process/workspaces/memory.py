"""How much the processes of a workspace use together, read from outside of it.

Limits of the kernel are per process; the sum is what matters to the host. Where no cgroup can be had it is watched, a
few times a second while a command runs: what can be taken between two looks is bounded by the speed of page faults.
Standard library only: it is copied into guests, where it watches from outside of the workspace but inside the machine.
"""

import os

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MOST_PROCESSES = 4096
WATCH_S = 0.1


def resident_bytes(first_pid: int) -> int:
    """Resident memory of a process and all its descendants, in bytes; shared pages of files are not counted."""
    return usage(first_pid)[0]


def usage(first_pid: int) -> tuple[int, int]:
    """Resident bytes of a process and all its descendants, and how many they are."""
    total, queue, seen = 0, [first_pid], 0
    while queue and seen < _MOST_PROCESSES:
        folder = f"/proc/{queue.pop()}"
        seen += 1
        try:
            _, resident, shared, *_ = _words(f"{folder}/statm")
            for task in os.listdir(f"{folder}/task"):  # noqa: PTH208
                queue += _words(f"{folder}/task/{task}/children")
        except (OSError, ValueError):
            continue  # it ended while we looked
        total += max(0, resident - shared) * _PAGE
    return total, seen


def _words(path: str) -> list[int]:
    with open(path, encoding="ascii") as file:  # noqa: PTH123
        return [int(word) for word in file.read().split()]
