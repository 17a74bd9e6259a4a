"""The guest image: what is said when it cannot be had, and that a file which was changed is not booted."""

import hashlib
import os
from pathlib import Path

import pytest

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.guest import building, image
from skyscale.settings import VmSettings

FILES = ("vmlinux", "initrd", "rootfs.ext4")


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text(name)
    sums = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in FILES]
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


def settings(folder: Path, **changes: object) -> VmSettings:
    named = {"data_dir": folder, "kernel_path": folder / "i/vmlinux", "rootfs_path": folder / "i/rootfs.ext4"}
    return VmSettings.model_validate(named | changes)


async def test_named_files_are_used_when_they_are_what_their_checksums_say(tmp_path: Path) -> None:
    folder = made(tmp_path / "i")
    found = await image.ready(settings(tmp_path))
    assert (found.kernel, found.initrd, found.rootfs) == tuple(folder / name for name in FILES)
    (folder / "initrd").write_text("changed")
    with pytest.raises(SandboxFailure, match="checksum"):
        await image.ready(settings(tmp_path))
    (folder / "initrd").unlink()
    with pytest.raises(SandboxFailure, match="lacks"):
        await image.ready(settings(tmp_path))


async def test_one_path_without_the_other_is_refused(tmp_path: Path) -> None:
    for name in ("kernel_path", "rootfs_path"):
        with pytest.raises(SandboxFailure, match="together"):
            await image.ready(settings(tmp_path, **{name: None}))


def test_a_host_without_the_tools_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("dirname", "mkdir"):
        (tools / name).symlink_to(Path("/usr/bin") / name)
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(SandboxFailure, match="needed") as caught:
        building.built_or_build(tmp_path / "vm")
    assert "FAAS_VM_KERNEL_PATH" in (caught.value.hint or "")


def test_an_image_of_this_version_is_found_and_an_unfinished_or_older_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, unfinished, ours = (made(tmp_path / name) for name in ("older", "unfinished", "ours"))
    (older / "OURS").write_text("0" * 64)
    (unfinished / "OURS").write_text(building.version())
    (unfinished / "SHA256SUMS").unlink()
    (ours / "OURS").write_text(building.version() + "\n")
    monkeypatch.setenv("PATH", os.devnull)  # nothing could be built
    assert building.built_or_build(tmp_path) == ours
