"""The backend "qemu": a virtual machine per episode, restored ahead of need from one snapshot.

- KVM is used only after a guest has really booted under it within a deadline: the device file proves nothing. What the
  probe found is remembered until the host boots again.
- `start` restores one machine and checks what isolates the episode inside the guest.
"""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.qemu import snapshot
from skyscale.sandboxes.backends.qemu.launch import Hardware
from skyscale.sandboxes.backends.qemu.snapshot import Snapshot
from skyscale.sandboxes.guest import image
from skyscale.sandboxes.guest.pool import WarmPool
from skyscale.sandboxes.guest.sandbox import GuestSandbox
from skyscale.settings import VmSettings
from skyscale.wire.base import new_id

RESTORE_TIMEOUT_S = 30.0
_BOOT_TIMEOUT_S = {"kvm": 15.0, "tcg": 90.0}
"""Under KVM a boot takes about a second; one that takes fifteen hangs. Emulated it takes five to ten."""
_REQUIRED = ("user namespace", "pid namespace", "private root", "private tmp", "no capabilities", "seccomp")


class QemuBackend:
    """Sandboxes as QEMU virtual machines."""

    name = "qemu"

    def __init__(self, *, slots: int = 2, allow_weak: bool = False, settings: VmSettings | None = None) -> None:
        self._settings = settings or VmSettings()
        self._allow_weak = allow_weak
        self._num_slots = slots
        self._snapshot: Snapshot | None = None
        self._pool: WarmPool | None = None
        self._live: set[GuestSandbox] = set()
        self._layers: dict[str, str] = {}

    async def start(self) -> None:
        """Boot and keep a machine, unless that was done before; restore a first one; begin to fill the pool.

        Raises:
            SandboxFailure: QEMU or the guest image is missing, or the guest does not boot.
        """
        found = await asyncio.to_thread(image.find, self._settings)
        folder = self._settings.data_dir.absolute() / "vm-snapshots"
        accelerator = await self._accelerator(found, folder)
        self._snapshot = await snapshot.bake(folder, found, self._hardware(accelerator), _BOOT_TIMEOUT_S[accelerator])
        first = await self._make()
        await first.close()
        inside = {f"guest's {name}": value for name, value in self._snapshot.layers.items()}
        self._layers = {"virtual machine": "yes", "no network device": "yes", **inside}
        missing = [name for name in _REQUIRED if self._layers.get(f"guest's {name}") != "yes"]
        if missing and not self._allow_weak:
            raise SandboxFailure(f"layers are missing in the guest: {', '.join(missing)}")
        self._pool = WarmPool(self._make, target=self._num_slots, max_making=1, wait_s=RESTORE_TIMEOUT_S)
        self._pool.open()

    def _hardware(self, accelerator: str) -> Hardware:
        return Hardware(accelerator, self._settings.memory_mb, self._settings.cpu_count)

    async def _accelerator(self, found: image.GuestImage, folder: Path) -> str:
        if not image.is_usable("/dev/kvm"):
            return "tcg"
        note = folder / f"kvm-{image.boot_id()}"
        if not note.is_file():
            try:
                await snapshot.bake(folder, found, self._hardware("kvm"), _BOOT_TIMEOUT_S["kvm"])
                works = "kvm"
            except SandboxFailure:
                works = "tcg"
            note.write_text(works, encoding="ascii")
        return note.read_text(encoding="ascii")

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
        """End every machine; nothing but the snapshot is left."""
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
