"""The backend "firecracker": a microVM per episode, restored ahead of need from one snapshot."""

import asyncio
import shutil

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.firecracker import snapshot
from skyscale.sandboxes.backends.firecracker.jail import Programs
from skyscale.sandboxes.backends.firecracker.snapshot import Hardware
from skyscale.sandboxes.guest import image
from skyscale.sandboxes.guest.backend import MachineBackend
from skyscale.settings import VmSettings

BOOT_TIMEOUT_S = 30.0


class FirecrackerBackend(MachineBackend):
    """Sandboxes as Firecracker microVMs."""

    name = "firecracker"
    around = ("virtual machine", "jail", "no network device")
    restore_timeout_s = 10.0
    max_making = 2

    def __init__(
        self, *, slots: int = 2, allow_weak: bool = False, settings: VmSettings | None = None,
        programs: Programs | None = None, device: str = "/dev/kvm",
    ) -> None:  # fmt: skip
        super().__init__(slots=slots, allow_weak=allow_weak)
        self._settings = settings or VmSettings()
        self._programs = programs
        self._device = device

    async def _prepare(self) -> None:
        """Boot and keep a microVM, unless that was done before, and restore a first one."""
        programs = self._programs or _installed()
        if not image.is_usable(self._device):
            raise SandboxFailure(f"Firecracker needs {self._device}, which this process may not use")
        data = self._settings.data_dir.absolute()
        await asyncio.to_thread(snapshot.reap, data / "vm-snapshots", data / "vm-jails")
        found = await image.ready(self._settings)
        kept = await snapshot.bake(
            data / "vm-snapshots", data / "vm-jails", programs, found,
            Hardware(self._settings.memory_mb, self._settings.cpu_count), BOOT_TIMEOUT_S,
        )  # fmt: skip
        await self._keep(kept)


def _installed() -> Programs:
    jailer, firecracker = shutil.which("jailer"), shutil.which("firecracker")
    if jailer is None or firecracker is None:
        raise SandboxFailure(
            "firecracker and jailer are not installed", code="sandbox_backend_missing",
            hint="Put both on PATH (its releases carry them), or choose another sandbox backend.",
        )  # fmt: skip
    return Programs(jailer, firecracker)
