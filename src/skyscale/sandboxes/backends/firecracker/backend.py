"""The backend "firecracker": a microVM per episode, restored ahead of need from one snapshot."""

import asyncio
import shutil
from types import TracebackType
from typing import Self

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.firecracker import snapshot
from skyscale.sandboxes.backends.firecracker.jail import Programs
from skyscale.sandboxes.backends.firecracker.snapshot import Hardware, Snapshot
from skyscale.sandboxes.guest import image
from skyscale.sandboxes.guest.pool import WarmPool
from skyscale.sandboxes.guest.sandbox import GuestSandbox
from skyscale.settings import VmSettings
from skyscale.wire.base import new_id

RESTORE_TIMEOUT_S = 10.0
BOOT_TIMEOUT_S = 30.0
_REQUIRED = ("user namespace", "pid namespace", "private root", "private tmp", "no capabilities", "seccomp")


class FirecrackerBackend:
    """Sandboxes as Firecracker microVMs."""

    name = "firecracker"

    def __init__(
        self, *, slots: int = 2, allow_weak: bool = False, settings: VmSettings | None = None,
        programs: Programs | None = None, device: str = "/dev/kvm",
    ) -> None:  # fmt: skip
        self._settings = settings or VmSettings()
        self._allow_weak = allow_weak
        self._num_slots = slots
        self._programs = programs
        self._device = device
        self._snapshot: Snapshot | None = None
        self._pool: WarmPool | None = None
        self._live: set[GuestSandbox] = set()
        self._layers: dict[str, str] = {}

    async def start(self) -> None:
        """Boot and keep a microVM, unless that was done before; restore a first one; begin to fill the pool.

        Raises:
            SandboxFailure: KVM, a binary or the guest image is missing, or the guest does not boot.
        """
        programs = self._programs or _installed()
        if not image.is_usable(self._device):
            raise SandboxFailure(f"Firecracker needs {self._device}, which this process may not use")
        found = await asyncio.to_thread(image.find, self._settings)
        data = self._settings.data_dir.absolute()
        self._snapshot = await snapshot.bake(
            data / "vm-snapshots", data / "vm-jails", programs, found,
            Hardware(self._settings.memory_mb, self._settings.cpu_count), BOOT_TIMEOUT_S,
        )  # fmt: skip
        await (await self._make()).close()
        inside = {f"guest's {name}": value for name, value in self._snapshot.layers.items()}
        self._layers = {"virtual machine": "yes", "jail": "yes", "no network device": "yes", **inside}
        missing = [name for name in _REQUIRED if self._layers.get(f"guest's {name}") != "yes"]
        if missing and not self._allow_weak:
            raise SandboxFailure(f"layers are missing in the guest: {', '.join(missing)}")
        self._pool = WarmPool(self._make, target=self._num_slots, max_making=2, wait_s=RESTORE_TIMEOUT_S)
        self._pool.open()

    async def _make(self) -> GuestSandbox:
        assert self._snapshot is not None
        sandbox_id = new_id("sb")
        machine = await self._snapshot.restore(sandbox_id, RESTORE_TIMEOUT_S)
        sandbox = GuestSandbox(sandbox_id, machine.attach, self._live.discard)
        sandbox.introduced(self._snapshot.layers)
        self._live.add(sandbox)
        return sandbox

    async def acquire(self) -> GuestSandbox:
        """A fresh sandbox, from the warm pool when one is ready.

        Raises:
            SandboxFailure: none could be made in time.
        """
        if self._pool is None:
            raise SandboxFailure("the sandbox backend is not running")
        return await self._pool.take()

    async def stop(self) -> None:
        """End every microVM and remove its jail; nothing but the snapshot is left."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None
        await asyncio.gather(*(sandbox.close() for sandbox in list(self._live)))

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


def _installed() -> Programs:
    jailer, firecracker = shutil.which("jailer"), shutil.which("firecracker")
    if jailer is None or firecracker is None:
        raise SandboxFailure(
            "firecracker and jailer are not installed", code="sandbox_backend_missing",
            hint="Put both on PATH (its releases carry them), or choose another sandbox backend.",
        )  # fmt: skip
    return Programs(jailer, firecracker)
