"""Interactive sandboxes as gVisor containers: one container each, made when it is asked for.

Nothing is kept between them but the folder with the root that all share; it is made with the first one.
"""

import asyncio
import functools
import shutil

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.gvisor import bundle, home, rootfs
from skyscale.sandboxes.backends.gvisor.container import Container
from skyscale.sandboxes.backends.gvisor.home import PLATFORMS, Home
from skyscale.sandboxes.guest.workspace import GuestWorkspace
from skyscale.sandboxes.guest.workspaces import GuestWorkspaces
from skyscale.sandboxes.workspace import WorkspaceLimits

REQUIRED = ("pid namespace", "private root", "own uid", "no capabilities", "no new privileges", "seccomp")
CREATE_TIMEOUT_S = 30.0


class GvisorWorkspaces(GuestWorkspaces):
    """Makes workspaces."""

    name = "gvisor"
    required = REQUIRED
    around = ("kernel in user space", "network namespace")

    def __init__(self, *, label: str) -> None:
        super().__init__(label=label)
        self._home: Home | None = None

    def _reap(self) -> None:
        program = shutil.which("runsc")
        if program is not None:
            home.reap(program)

    async def _open(self) -> None:
        self._home = await Home.open()
        await asyncio.to_thread(_fill, self._home)

    async def _made(self, workspace_id: str, limits: WorkspaceLimits) -> GuestWorkspace:
        """On the first platform that works here; later ones go straight to it."""
        assert self._home is not None
        reason = ""
        for platform in PLATFORMS[PLATFORMS.index(self._home.platform) :]:
            self._home.platform = platform
            connect = functools.partial(Container, self._home.command, self._home.folder)
            try:
                return await self._ready(GuestWorkspace(workspace_id, limits, connect), CREATE_TIMEOUT_S)
            except SandboxFailure as failure:
                reason = failure.detail
        raise SandboxFailure(f"gVisor does not start a container here: {reason}")

    async def _shut(self) -> None:
        if self._home is not None:
            await asyncio.to_thread(self._home.remove)
            self._home = None


def _fill(place: Home) -> None:
    executable = rootfs.build(place.folder / "rootfs")
    bundle.write_workspace(place.folder, executable, rootfs.add_box(place.folder / "rootfs"))
