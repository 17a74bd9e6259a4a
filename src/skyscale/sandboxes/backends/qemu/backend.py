"""The backend "qemu": a virtual machine per episode, restored ahead of need from one snapshot.

KVM is used where a machine under it boots in time; a device file that is there but hangs falls back to emulation. What
was found is kept beside the snapshots until the host's next boot.
"""

from skyscale.sandboxes.backends.qemu.machines import Machines
from skyscale.sandboxes.guest.backend import MachineBackend
from skyscale.settings import VmSettings


class QemuBackend(MachineBackend):
    """Sandboxes as QEMU virtual machines."""

    name = "qemu"
    around = ("virtual machine", "no network device")
    restore_timeout_s = 30.0
    max_making = 1

    def __init__(self, *, slots: int = 2, allow_weak: bool = False, settings: VmSettings | None = None) -> None:
        super().__init__(slots=slots, allow_weak=allow_weak)
        self._machines = Machines(settings or VmSettings())

    async def _prepare(self) -> None:
        await self._machines.prepare()
        await self._keep(await self._machines.snapshot("episode"))
