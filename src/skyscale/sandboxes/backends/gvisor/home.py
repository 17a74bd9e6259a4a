"""The folder that a backend's containers share on the host: their bundle, their root, runsc's state; and its end.

The folder carries the mark of the process that made it, and so do the command lines of everything in it.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.gvisor import bundle
from skyscale.sandboxes.guest import leftovers

PLATFORMS = ("systrap", "ptrace")
"""Ways to catch system calls, the better one first; which of them works is found by trying."""
_PREFIX = "skyscale-gvisor-"
_COMMAND_TIMEOUT_S = 30.0


class Home:
    """One backend's folder."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.platform = PLATFORMS[0]

    @classmethod
    async def open(cls) -> Self:
        """A new one, after what dead owners left was deleted.

        Raises:
            SandboxFailure: runsc is not installed.
        """
        program = shutil.which("runsc")
        if program is None:
            raise SandboxFailure(
                "gVisor's runsc is not installed", code="sandbox_backend_missing",
                hint="Install it (Debian: `apt-get install runsc`), or choose another sandbox backend.",
            )  # fmt: skip
        await asyncio.to_thread(reap, program)
        return cls(program, Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=f"{_PREFIX}{leftovers.mark()}-")))

    def command(self, *arguments: str) -> list[str]:
        """A command line of runsc."""
        rootless = os.geteuid() != 0
        return bundle.runsc(self.program, self.folder / "state", self.platform, *arguments, rootless=rootless)

    def remove(self) -> None:
        """The folder, once its containers are gone."""
        shutil.rmtree(self.folder, ignore_errors=True)


def reap(program: str) -> int:
    """Delete the containers, processes and folders of owners that are gone; how many folders."""
    base = Path(tempfile.gettempdir())
    for folder in leftovers.orphaned_folders(base):
        if folder.name.startswith(_PREFIX):
            _delete_all(program, folder / "state")
            leftovers.end_processes(lambda words, folder=folder: str(folder) in words)
    return leftovers.remove_orphaned_folders(base)


def _delete_all(program: str, state: Path) -> None:
    command = [program, f"--root={state}"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        listing = subprocess.run(
            [*command, "list", "--quiet"], capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=False
        ).stdout
        for container in listing.split():
            subprocess.run(
                [*command, "delete", "--force", container], capture_output=True, timeout=_COMMAND_TIMEOUT_S, check=False
            )
