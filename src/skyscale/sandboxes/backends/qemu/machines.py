"""What episodes and interactive sandboxes of this host share: the guest image, the accelerator, the snapshots."""

import asyncio

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.qemu import launch, snapshot
from skyscale.sandboxes.backends.qemu.launch import Hardware, Mode
from skyscale.sandboxes.backends.qemu.snapshot import Snapshot
from skyscale.sandboxes.guest import image, leftovers
from skyscale.settings import VmSettings

_BOOT_TIMEOUT_S = {"kvm": 15.0, "tcg": 90.0}
"""Under KVM a boot takes about a second; one that takes fifteen hangs. Emulated it takes five to ten."""


class Machines:
    """Snapshots by what their guest is for; `prepare` comes first."""

    def __init__(self, settings: VmSettings) -> None:
        self._settings = settings
        self._folder = settings.data_dir.absolute() / "vm-snapshots"
        self._accelerator = "tcg"
        self._image: image.GuestImage | None = None

    async def prepare(self) -> None:
        """End what dead owners left, have an image, know the accelerator.

        Raises:
            SandboxFailure: QEMU is missing, or there is no image and none can be built.
        """
        await asyncio.to_thread(self.reap)
        await asyncio.to_thread(launch.version)
        self._image = await image.ready(self._settings)
        self._accelerator = await self._find_accelerator()

    def reap(self) -> None:
        """End machines, and remove half-made snapshots, of owners that are gone."""
        leftovers.end_processes(lambda words: launch.PROGRAM in words and leftovers.is_orphaned(words))
        leftovers.remove_orphaned_folders(self._folder)

    async def snapshot(self, mode: Mode, memory_mb: int = 0) -> Snapshot:
        """The booted machine that clones are made of, with at least this much memory; booted now if it never was.

        Raises:
            SandboxFailure: it does not boot, or QEMU refuses.
        """
        return await self._bake(mode, self._accelerator, max(memory_mb, self._settings.memory_mb))

    async def _bake(self, mode: Mode, accelerator: str, memory_mb: int) -> Snapshot:
        assert self._image is not None, "prepare() comes first"
        hardware = Hardware(accelerator, memory_mb, self._settings.cpu_count, mode)
        return await snapshot.bake(self._folder, self._image, hardware, _BOOT_TIMEOUT_S[accelerator])

    async def _find_accelerator(self) -> str:
        if not image.is_usable("/dev/kvm"):
            return "tcg"
        note = self._folder / f"kvm-{image.boot_id()}"
        if not note.is_file():
            try:
                await self._bake("episode", "kvm", self._settings.memory_mb)
                works = "kvm"
            except SandboxFailure:
                works = "tcg"
            await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
            note.write_text(works, encoding="ascii")
        return note.read_text(encoding="ascii")
