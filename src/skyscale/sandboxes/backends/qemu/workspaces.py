"""Interactive sandboxes as QEMU machines: one machine each, restored from a snapshot when it is asked for.

A machine has the memory that its sandbox may use, and some for its own system; sizes are rounded up, so that there are
few snapshots. The first sandbox of a size waits for a boot.
"""

import shutil

from skyscale.sandboxes.backends.qemu import launch
from skyscale.sandboxes.backends.qemu.machines import Machines
from skyscale.sandboxes.guest.backend import IN_A_GUEST
from skyscale.sandboxes.guest.workspace import GuestWorkspace
from skyscale.sandboxes.guest.workspaces import GuestWorkspaces
from skyscale.sandboxes.workspace import WorkspaceLimits
from skyscale.settings import VmSettings

RESTORE_TIMEOUT_S = 30.0
_MB = 1024 * 1024
_SYSTEM_MB = 160
_STEP_MB = 512


class QemuWorkspaces(GuestWorkspaces):
    """Makes workspaces."""

    name = "qemu"
    required = IN_A_GUEST
    around = ("virtual machine", "no network device")

    def __init__(self, *, label: str, settings: VmSettings | None = None) -> None:
        super().__init__(label=label)
        self._machines = Machines(settings or VmSettings())

    def _reap(self) -> None:
        if shutil.which(launch.PROGRAM) is not None:
            self._machines.reap()

    async def _open(self) -> None:
        await self._machines.prepare()

    async def _made(self, workspace_id: str, limits: WorkspaceLimits) -> GuestWorkspace:
        snapshot = await self._machines.snapshot("workspace", memory_mb(limits))
        machine = await snapshot.restore(workspace_id, RESTORE_TIMEOUT_S)
        return await self._ready(GuestWorkspace(workspace_id, limits, machine.attach), RESTORE_TIMEOUT_S)

    async def _shut(self) -> None:
        """Nothing but the snapshots is left, which are kept."""


def memory_mb(limits: WorkspaceLimits) -> int:
    """Of a machine for such a sandbox: its programs, its files (and a quarter as much for `/tmp`), its system."""
    wanted = limits.memory_bytes // _MB + limits.disk_bytes * 5 // 4 // _MB + _SYSTEM_MB
    return -(-wanted // _STEP_MB) * _STEP_MB
