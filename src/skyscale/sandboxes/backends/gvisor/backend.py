"""The backend "gvisor": pre-warmed containers, one per episode.

- `start` makes one container and reads its report; a host where runsc does not work is refused with its own words.
- Every container of a backend lives in one state folder, which names the process that made it: what a crashed control
  plane left there is deleted by the next `start` on the host.
"""

import asyncio
import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.gvisor import bundle, rootfs
from skyscale.sandboxes.backends.gvisor.container import Container
from skyscale.sandboxes.guest.pool import WarmPool
from skyscale.sandboxes.guest.sandbox import GuestSandbox
from skyscale.sandboxes.sandbox import Limits
from skyscale.wire.base import new_id

REQUIRED = ("private tmp", "no proc and sys", "own uid", "no capabilities", "no new privileges", "seccomp")
READY_TIMEOUT_S = 30.0
_PREFIX = "skyscale-gvisor-"
_COMMAND_TIMEOUT_S = 30.0


class GvisorBackend:
    """Sandboxes as gVisor containers."""

    name = "gvisor"

    def __init__(self, *, slots: int = 2, allow_weak: bool = False) -> None:
        self._allow_weak = allow_weak
        self._num_slots = slots
        self._folder: Path | None = None
        self._pool: WarmPool | None = None
        self._live: set[GuestSandbox] = set()
        self._layers: dict[str, str] = {}

    async def start(self) -> None:
        """Build the root, make the first container, check what isolates it, and begin to fill the pool.

        Raises:
            SandboxFailure: runsc is absent or does not work here, or a required layer is missing.
        """
        program = shutil.which("runsc")
        if program is None:
            raise SandboxFailure(
                "gVisor's runsc is not installed", code="sandbox_backend_missing",
                hint="Install it (Debian: `apt-get install runsc`), or choose another sandbox backend.",
            )  # fmt: skip
        await asyncio.to_thread(_reap_orphans, program)
        self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        try:
            executable = await asyncio.to_thread(rootfs.build, self._folder / "rootfs")
            bundle.write(self._folder, executable, Limits().tmp_bytes)
            await self._check_first(program)
        except BaseException:
            await self.stop()
            raise
        self._pool = WarmPool(self._make, target=self._num_slots + 1, max_making=2, wait_s=READY_TIMEOUT_S)
        self._pool.open()

    async def _check_first(self, program: str) -> None:
        assert self._folder is not None
        reason = ""
        for platform in ("systrap", "ptrace"):
            self._command_line = functools.partial(
                bundle.runsc, program, self._folder / "state", platform, rootless=os.geteuid() != 0
            )
            try:
                first = await self._make()
            except SandboxFailure as failure:
                reason = failure.detail
                continue
            self._layers = {"kernel in user space": "yes", "network namespace": "yes", **first.claims.layers}
            await self._close(first)
            break
        else:
            raise SandboxFailure(f"gVisor does not start a container here: {reason}")
        missing = [f"{name} ({self._layers.get(name, 'not tried')})" for name in REQUIRED if not self._has(name)]
        if missing and not self._allow_weak:
            raise SandboxFailure(f"layers are missing in the container: {'; '.join(missing)}")

    def _has(self, layer: str) -> bool:
        return self._layers.get(layer) == "yes"

    async def _make(self) -> GuestSandbox:
        assert self._folder is not None
        folder = self._folder
        connect = functools.partial(Container, self._command_line, folder)
        sandbox = GuestSandbox(new_id("sb"), connect, self._live.discard)
        self._live.add(sandbox)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await sandbox.ready
        except BaseException as error:
            await self._close(sandbox)
            if isinstance(error, TimeoutError):
                raise SandboxFailure(f"the container was not ready in {READY_TIMEOUT_S:.0f} s") from error
            raise
        if sandbox.failure is not None:
            await self._close(sandbox)
            raise SandboxFailure(sandbox.failure)
        return sandbox

    @staticmethod
    async def _close(sandbox: GuestSandbox) -> None:
        await asyncio.shield(sandbox.close())

    async def acquire(self) -> GuestSandbox:
        """A fresh sandbox, from the warm pool when one is ready.

        Raises:
            SandboxFailure: none could be made in time.
        """
        if self._pool is None:
            raise SandboxFailure("the sandbox backend is not running")
        return await self._pool.take()

    async def stop(self) -> None:
        """End every container; nothing is left behind."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None
        await asyncio.gather(*(sandbox.close() for sandbox in list(self._live)))
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            self._folder = None

    def report(self) -> dict[str, str]:
        """Each isolation layer and whether it is in force here."""
        return dict(self._layers)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()


def _reap_orphans(program: str) -> None:
    """Delete the containers and folders of control planes that are gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists() and folder.stat().st_uid == os.geteuid():
            _delete_all(program, folder / "state")
            shutil.rmtree(folder, ignore_errors=True)


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
