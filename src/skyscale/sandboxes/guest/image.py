"""The guest's files on this host: found or named by settings, checked against their checksums before use."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from skyscale.errors import SandboxFailure
from skyscale.settings import VmSettings

_SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class GuestImage:
    """What a hypervisor boots."""

    kernel: Path
    initrd: Path
    rootfs: Path
    key: str
    """Names the content: equal keys are equal files."""


def find(settings: VmSettings) -> GuestImage:
    """The image named by the settings, or the newest one that the build script left in the data folder.

    Raises:
        SandboxFailure: there is none, or a file is not what its checksum says.
    """
    if settings.kernel_path is not None and settings.rootfs_path is not None:
        return _image(settings.kernel_path, settings.rootfs_path)
    built = sorted((settings.data_dir / "vm").glob(f"*/{_SUMS}"), key=lambda path: path.stat().st_mtime)
    if not built:
        raise SandboxFailure(
            "no guest image for virtual machines was built", code="sandbox_backend_missing",
            hint="Run scripts/build_daemon_rootfs.sh, or set FAAS_VM_KERNEL_PATH and FAAS_VM_ROOTFS_PATH.",
        )  # fmt: skip
    folder = built[-1].parent.absolute()
    return _image(folder / "vmlinux", folder / "rootfs.ext4")


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
