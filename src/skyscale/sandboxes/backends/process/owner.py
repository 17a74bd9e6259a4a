"""Which process a number means: numbers are given again, the time of a start is not."""

from pathlib import Path


def start_time(pid: int) -> str | None:
    """When the process started, in ticks since boot; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state == "Z" else fields[18]
