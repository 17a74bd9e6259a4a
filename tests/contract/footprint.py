"""What a host holds that a sandbox could have left behind."""

import asyncio
import contextlib
import time
from pathlib import Path

import psutil


def zygotes() -> list[psutil.Process]:
    """Living children that are zygotes; other tests' servers may be our children too."""
    found: list[psutil.Process] = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [child] if "zygote.main" in " ".join(child.cmdline()) else []
    return found


def footprint() -> dict[str, object]:
    """Mounts, cgroups, scratch files and files beside us on this host, as far as they are ours to see."""
    me = psutil.Process()
    return {
        "mounts": max(len(_lines(f"/proc/{process.pid}/mountinfo")) for process in [me, *zygotes()]),
        "cgroups": sum(1 for _ in Path("/sys/fs/cgroup").glob("*/skyscale*/**/")),
        "scratch": sorted(p.name for p in Path("/tmp").iterdir() if p.name.isdecimal() or p.name in _PLANTED),
        # Caches of the test runner's own tools come and go under names with a dot.
        "cwd": sorted(path.name for path in Path().iterdir() if not path.name.startswith(".")),
    }


_PLANTED = ("mark", "d", "conftest.py", "s", "l", "sitecustomize.py")
"""Names that the corpus gives to what it plants in its own /tmp."""


async def processes_at_most(number: int) -> None:
    """Wait until no more descendants are left than before; the kernel takes a moment to bury them."""
    deadline = time.monotonic() + 10
    while (found := len(psutil.Process().children(recursive=True))) > number:
        assert time.monotonic() < deadline, f"{found} processes, {number} before"
        await asyncio.sleep(0.02)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:  # it ended while we looked
        return []
