"""The backend "firecracker": a microVM per episode, restored ahead of need from one snapshot."""

import asyncio
import shutil

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.firecracker import snapshot
from skyscale.sandboxes.backends.firecracker.jail import Programs
from skyscale.sandboxes.backends.firecracker.snapshot import Hardware, Snapshot
from skyscale.sandboxes.guest import image
from skyscale.sandboxes.guest.backend import REQUIRED_IN_MACHINE, PooledBackend, layers_of_machine
from skyscale.sandboxes.guest.pool import WarmPool
from skyscale.sandboxes.guest.sandbox import GuestSandbox
from skyscale.settings import VmSettings
from skyscale.wire.base import new_id

RESTORE_TIMEOUT_S = 10.0
BOOT_TIMEOUT_S = 30.0


class FirecrackerBackend(PooledBackend):
    """Sandboxes as Firecracker microVMs."""

    name = "firecracker"

    def __init__(
        self, *, slots: int = 2, allow_weak: bool = False, settings: VmSettings | None = None,
        programs: Programs | None = None, device: str = "/dev/kvm",
    ) -> None:  # fmt: skip
        super().__init__(slots=slots, allow_weak=allow_weak)
        self._settings = settings or VmSettings()
        self._programs = programs
        self._device = device
        self._snapshot: Snapshot | None = None

    async def _prepare(self) -> None:
        """Boot and keep a microVM, unless that was done before, and restore a first one."""
        programs = self._programs or _installed()
        if not image.is_usable(self._device):
            raise SandboxFailure(f"Firecracker needs {self._device}, which this process may not use")
        data = self._settings.data_dir.absolute()
        await asyncio.to_thread(snapshot.reap, data / "vm-snapshots", data / "vm-jails")
        found = await image.ready(self._settings)
        self._snapshot = await snapshot.bake(
            data / "vm-snapshots", data / "vm-jails", programs, found,
            Hardware(self._settings.memory_mb, self._settings.cpu_count), BOOT_TIMEOUT_S,
        )  # fmt: skip
        await (await self._make()).close()
        around = {"virtual_machine": "yes", "jail": "yes", "no_network_device": "yes"}
        self._checked(layers_of_machine(self._snapshot.layers, **around), REQUIRED_IN_MACHINE)

    def _new_pool(self) -> WarmPool:
        return WarmPool(self._make, target=self._target(self._num_slots), max_making=2, wait_s=RESTORE_TIMEOUT_S)

    async def _make(self) -> GuestSandbox:
        assert self._snapshot is not None
        sandbox_id = new_id("sb")
        machine = await self._snapshot.restore(sandbox_id, RESTORE_TIMEOUT_S)
        sandbox = GuestSandbox(sandbox_id, machine.attach, self._live.discard)
        sandbox.introduced(self._snapshot.layers)
        self._live.add(sandbox)
        return sandbox


def _installed() -> Programs:
    jailer, firecracker = shutil.which("jailer"), shutil.which("firecracker")
    if jailer is None or firecracker is None:
        raise SandboxFailure(
            "firecracker and jailer are not installed", code="sandbox_backend_missing",
            hint="Put both on PATH (its releases carry them), or choose another sandbox backend.",
        )  # fmt: skip
    return Programs(jailer, firecracker)
