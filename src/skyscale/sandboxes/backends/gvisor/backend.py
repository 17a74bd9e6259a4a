"""The backend "gvisor": pre-warmed containers, one per episode.

- `start` makes one container and reads its report; a host where runsc does not work is refused with its own words.
- Every container of a backend lives in one state folder, which carries the mark of the process that made it: what a
  crashed control plane left is deleted by the next `start` on the host.
"""

import asyncio
import functools

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.gvisor import bundle, rootfs
from skyscale.sandboxes.backends.gvisor.container import Container
from skyscale.sandboxes.backends.gvisor.home import PLATFORMS, Home
from skyscale.sandboxes.guest.backend import PooledBackend
from skyscale.sandboxes.guest.pool import WarmPool
from skyscale.sandboxes.guest.sandbox import GuestSandbox
from skyscale.sandboxes.sandbox import Limits
from skyscale.wire.base import new_id

REQUIRED = ("private tmp", "no proc and sys", "own uid", "no capabilities", "no new privileges", "seccomp")
READY_TIMEOUT_S = 30.0


class GvisorBackend(PooledBackend):
    """Sandboxes as gVisor containers."""

    name = "gvisor"

    def __init__(self, *, slots: int = 2, allow_weak: bool = False) -> None:
        super().__init__(slots=slots, allow_weak=allow_weak)
        self._home: Home | None = None

    async def _prepare(self) -> None:
        """Build the root, make the first container, check what isolates it."""
        self._home = await Home.open()
        executable = await asyncio.to_thread(rootfs.build, self._home.folder / "rootfs")
        bundle.write_episode(self._home.folder, executable, Limits().tmp_bytes)
        reason = ""
        for self._home.platform in PLATFORMS:
            try:
                first = await self._make()
                break
            except SandboxFailure as failure:
                reason = failure.detail
        else:
            raise SandboxFailure(f"gVisor does not start a container here: {reason}")
        layers = {"kernel in user space": "yes", "network namespace": "yes", **first.claims.layers}
        await first.close()
        self._checked(layers, REQUIRED)

    def _new_pool(self) -> WarmPool:
        return WarmPool(self._make, target=self._target(self._num_slots + 1), max_making=2, wait_s=READY_TIMEOUT_S)

    async def _make(self) -> GuestSandbox:
        assert self._home is not None
        connect = functools.partial(Container, self._home.command, self._home.folder)
        sandbox = GuestSandbox(new_id("sb"), connect, self._live.discard)
        self._live.add(sandbox)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await sandbox.ready
        except BaseException as error:
            await asyncio.shield(sandbox.close())
            if isinstance(error, TimeoutError):
                raise SandboxFailure(f"the container was not ready in {READY_TIMEOUT_S:.0f} s") from error
            raise
        if sandbox.failure is not None:
            await asyncio.shield(sandbox.close())
            raise SandboxFailure(sandbox.failure)
        return sandbox

    async def stop(self) -> None:
        """End every container; nothing is left behind."""
        await super().stop()
        if self._home is not None:
            await asyncio.to_thread(self._home.remove)
            self._home = None
