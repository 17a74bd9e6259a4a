"""The Firecracker driver, request by request, against a server made of Firecracker's API description.

Guest image, daemon and protocol are the ones that tests/contract/test_sandbox_qemu.py runs for real.
"""

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.firecracker.api import Api
from skyscale.sandboxes.backends.firecracker.backend import FirecrackerBackend
from skyscale.sandboxes.backends.firecracker.jail import Jail, Programs
from skyscale.sandboxes.sandbox import CallStatus, Limits
from skyscale.settings import VmSettings
from tests.contract.firecracker_server import Machine, Refused

BOOT = [
    "PUT /metrics", "PUT /machine-config", "PUT /boot-source", "PUT /drives/root", "PUT /vsock", "PUT /entropy",
    "PUT /actions", "PATCH /vm", "PUT /snapshot/create",
]  # fmt: skip
RESTORE = ["PUT /metrics", "PUT /snapshot/load"]


@pytest.fixture
def home() -> Iterator[Path]:
    """A data folder with an image of stand-in files; paths of unix sockets must stay short."""
    with tempfile.TemporaryDirectory(prefix="fc") as folder:
        for name in ("vmlinux", "initrd", "rootfs.ext4"):
            (Path(folder) / name).write_text(name)
        yield Path(folder)


@pytest.fixture
async def backend(home: Path) -> AsyncIterator[FirecrackerBackend]:
    jailer = home / "jailer"
    root = Path(__file__).parents[2]
    jailer.write_text(
        f'#!/bin/sh\ncd {root} && PYTHONPATH={root} exec {sys.executable} -m tests.contract.firecracker_server "$@"\n'
    )
    jailer.chmod(0o755)
    settings = VmSettings(
        data_dir=home, kernel_path=home / "vmlinux", rootfs_path=home / "rootfs.ext4", memory_mb=256, cpu_count=1
    )
    async with FirecrackerBackend(
        slots=1, settings=settings, programs=Programs(str(jailer), "/usr/bin/firecracker"), device="/dev/null"
    ) as made:
        yield made
    assert not list((home / "vm-jails" / "firecracker").iterdir())


def requests(home: Path) -> dict[str, list[str]]:
    """What each machine was asked, in order."""
    asked: dict[str, list[str]] = {}
    for line in (home / "vm-jails" / "requests.jsonl").read_text().splitlines():
        machine, method, path, _ = json.loads(line)
        asked.setdefault(machine, []).append(f"{method} {path}")
    return asked


async def test_it_boots_once_restores_each_and_runs_an_episode(backend: FirecrackerBackend, home: Path) -> None:
    sandbox = await backend.acquire()
    execution = await sandbox.run_calls("def f(x): ...", "f", ["[1]", "[2]"], Limits())
    assert [(c.status, c.value) for c in execution.calls] == [(CallStatus.OK, "42")] * 2
    assert execution.stdout == "printed\n"
    await sandbox.close()
    with pytest.raises(SandboxFailure):
        await sandbox.run_program("", "", Limits())
    first, *others = requests(home).values()
    assert first == BOOT
    assert others and all(asked == RESTORE for asked in others)


async def test_a_hang_ends_at_its_deadline_and_a_crash_is_the_programs(backend: FirecrackerBackend) -> None:
    for code, status in (("hang", CallStatus.TIMEOUT), ("crash", CallStatus.PROTOCOL_VIOLATION)):
        sandbox = await backend.acquire()
        execution = await sandbox.run_calls(code, "f", ["[1]"], Limits(wall_s=1.0))
        await sandbox.close()
        assert (execution.status, execution.calls[0].status) == (status, status)


def machines() -> list[psutil.Process]:
    """Living children that are a machine's; what another test has not collected yet has no command line any more."""
    found: list[psutil.Process] = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [child] if "firecracker_server" in " ".join(child.cmdline()) else []
    return found


async def test_stopping_ends_every_machine_and_removes_its_jail(backend: FirecrackerBackend, home: Path) -> None:
    await backend.acquire()
    assert machines()
    assert list((home / "vm-jails" / "firecracker").iterdir())
    await backend.stop()
    assert not list((home / "vm-jails" / "firecracker").iterdir())
    assert not machines()
    with pytest.raises(SandboxFailure):
        await backend.acquire()


async def test_what_firecracker_refuses_is_told_in_its_words(home: Path) -> None:
    api = Api(home / "nobody")
    with pytest.raises(SandboxFailure, match="does not answer PUT /vsock"):
        await api.put("/vsock", guest_cid=3, uds_path="/v")
    await api.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("PUT", "/machine-config", {"vcpu_count": 33, "mem_size_mib": 128}, "33 is greater"),
        ("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 128, "ht": True}, "ht"),
        ("PUT", "/vsock", {"guest_cid": 2, "uds_path": "/v"}, "2 is less"),
        ("PUT", "/actions", {"action_type": "InstanceStart"}, "no kernel"),
        ("PATCH", "/vm", {"state": "Paused"}, "before starting"),
        ("PUT", "/snapshot/create", {"mem_file_path": "/m", "snapshot_path": "/s"}, "before starting"),
        ("PUT", "/boot-source", {"kernel_image_path": "/absent"}, "not in the jail"),
        ("PUT", "/nothing", {}, "has no /nothing"),
        ("PATCH", "/snapshot/load", {}, "has no PATCH"),
    ],
)
def test_the_server_refuses_what_the_description_refuses(
    home: Path, method: str, path: str, body: dict[str, object], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        Machine(home, home / "log").request(method, path, body)


def test_a_snapshot_is_not_loaded_into_a_configured_machine(home: Path) -> None:
    machine = Machine(home, home / "log")
    machine.request("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 128})
    backend = {"backend_type": "File", "backend_path": "/vmlinux"}
    with pytest.raises(Refused, match="boot-specific"):
        machine.request("PUT", "/snapshot/load", {"snapshot_path": "/initrd", "mem_backend": backend})


def test_a_jail_holds_its_files_and_goes_without_a_trace(home: Path) -> None:
    jail = Jail(home / "jails", "vm-1", 110_001)
    jail.fill("/usr/bin/firecracker", {"vmlinux": home / "vmlinux"})
    assert jail.outside("/vmlinux").read_text() == "vmlinux"
    command = jail.command(Programs("/j", "/usr/bin/firecracker"), 10)
    assert command[:5] == ["/j", "--id", "vm-1", "--exec-file", "/usr/bin/firecracker"]
    assert command[5:7] == ["--uid", "110001"]
    jail.remove()
    assert not list((home / "jails" / "firecracker").iterdir())


async def test_a_host_without_it_is_told_what_is_missing() -> None:
    backend = FirecrackerBackend(programs=Programs("/none", "/none"), device="/dev/absent")
    with pytest.raises(SandboxFailure, match="needs /dev/absent"):
        async with asyncio.timeout(5):
            await backend.start()
