"""The backend "qemu": a virtual machine per episode, restored ahead of need from one snapshot.

KVM is used where a machine under it boots in time; a device file that is there but hangs falls back to emulation. What
was found is kept beside the snapshots until the host's next boot.
"""

from skyscale.sandboxes.backends.qemu.machines import Machines
from skyscale.sandboxes.backends.qemu.snapshot import Snapshot
from skyscale.sandboxes.guest.backend import REQUIRED_IN_MACHINE, PooledBackend, layers_of_machine
from skyscale.sandboxes.guest.pool import WarmPool
from skyscale.sandboxes.guest.sandbox import GuestSandbox
from skyscale.settings import VmSettings
from skyscale.wire.base import new_id

RESTORE_TIMEOUT_S = 30.0


class QemuBackend(PooledBackend):
    """Sandboxes as QEMU virtual machines."""

    name = "qemu"

    def __init__(self, *, slots: int = 2, allow_weak: bool = False, settings: VmSettings | None = None) -> None:
        super().__init__(slots=slots, allow_weak=allow_weak)
        self._machines = Machines(settings or VmSettings())
        self._snapshot: Snapshot | None = None

    async def _prepare(self) -> None:
        await self._machines.prepare()
        self._snapshot = await self._machines.snapshot("episode")
        await (await self._make()).close()
        around = {"virtual_machine": "yes", "no_network_device": "yes"}
        self._checked(layers_of_machine(self._snapshot.layers, **around), REQUIRED_IN_MACHINE)

    def _new_pool(self) -> WarmPool:
        return WarmPool(self._make, target=self._target(self._num_slots), max_making=1, wait_s=RESTORE_TIMEOUT_S)

    async def _make(self) -> GuestSandbox:
        assert self._snapshot is not None
        sandbox_id = new_id("sb")
        machine = await self._snapshot.restore(sandbox_id, RESTORE_TIMEOUT_S)
        sandbox = GuestSandbox(sandbox_id, machine.attach, self._live.discard)
        sandbox.introduced(self._snapshot.layers)
        self._live.add(sandbox)
        return sandbox
