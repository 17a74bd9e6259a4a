"""The guest's files on this host: named by settings or built here, checked against their checksums before use."""

import asyncio
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.guest import building
from skyscale.settings import VmSettings

_SUMS = building.SUMS


@dataclass(frozen=True, slots=True)
class GuestImage:
    """What a hypervisor boots."""

    kernel: Path
    initrd: Path
    rootfs: Path
    key: str
    """Names the content: equal keys are equal files."""


async def ready(settings: VmSettings) -> GuestImage:
    """The image named by the settings, or the one of this version of ours, which is built now if it never was.

    Raises:
        SandboxFailure: a file is missing or not what its checksum says, or the image cannot be built here.
    """
    if (settings.kernel_path is None) != (settings.rootfs_path is None):
        raise SandboxFailure("FAAS_VM_KERNEL_PATH and FAAS_VM_ROOTFS_PATH are set together or not at all")
    if settings.kernel_path is not None and settings.rootfs_path is not None:
        return await asyncio.to_thread(_image, settings.kernel_path, settings.rootfs_path)
    folder = await asyncio.to_thread(building.built_or_build, settings.data_dir.absolute() / "vm")
    return await asyncio.to_thread(_image, folder / "vmlinux", folder / "rootfs.ext4")


def _image(kernel: Path, rootfs: Path) -> GuestImage:
    """The initrd lies beside the kernel, as the build script leaves it; so do the checksums, if there are any."""
    initrd = kernel.parent / "initrd"
    for path in (kernel, initrd, rootfs):
        if not path.is_file():
            raise SandboxFailure(f"the guest image lacks {path}", code="sandbox_backend_missing")
    sums = {path: _sha256(path) for path in (kernel, initrd, rootfs)}
    for folder in {kernel.parent, rootfs.parent}:
        _check(folder, sums)
    key = hashlib.sha256("".join(sums.values()).encode()).hexdigest()[:16]
    return GuestImage(kernel.absolute(), initrd.absolute(), rootfs.absolute(), key)


def _check(folder: Path, sums: dict[Path, str]) -> None:
    listing = folder / _SUMS
    if not listing.is_file():
        return
    for line in listing.read_text(encoding="ascii").splitlines():
        expected, _, name = line.partition("  ")
        if sums.get(folder / name, expected) != expected:
            raise SandboxFailure(f"{folder / name} is not the file that was built: its checksum differs")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def boot_id() -> str:
    """Of this host; what was probed holds until the next boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def is_usable(device: str) -> bool:
    """Whether a device file may be opened; that says nothing of whether it works."""
    return os.access(device, os.R_OK | os.W_OK)
