"""One microVM, booted once and kept as files; and microVMs made from those files, each in a jail of its own.

- The memory file is mapped privately by every machine that is restored from it, so it must never change: it is
  read-only, and its folder appears complete or not at all.
- A vsock listener survives a snapshot, a connection does not: the booting host hangs up before it is taken.
"""

import asyncio
import contextlib
import hashlib
import itertools
import json
import secrets
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.firecracker import vsock
from skyscale.sandboxes.backends.firecracker.api import Api
from skyscale.sandboxes.backends.firecracker.jail import API_SOCKET, METRICS, VSOCK, Jail, Programs, remove_cgroup
from skyscale.sandboxes.guest import leftovers
from skyscale.sandboxes.guest.image import GuestImage
from skyscale.sandboxes.guest.machine import GuestMachine

_BOOT = "console=ttyS0 quiet loglevel=1 reboot=k panic=1 i8042.nokbd random.trust_cpu=on 8250.nr_uarts=0"
_FIRST_UID, _NUM_UIDS = 110_000, 5000
_GUEST_CID = 3
_POLL_S = 0.005
_MAX_METRICS_BYTES = 1024 * 1024
_MEMORY, _STATE, _LAYERS = "memory", "state", "layers.json"
_uids = itertools.cycle(range(_FIRST_UID, _FIRST_UID + _NUM_UIDS))


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a machine is made of; a snapshot fits the same hardware only."""

    memory_mb: int
    num_cpus: int


class Jailed:
    """One Firecracker process in its jail, from the jailer's start to the connection with its guest.

    Made in one step without a wait, so that a cancelled caller never leaves a process that nobody knows of.
    """

    def __init__(self, base: Path, programs: Programs, files: dict[str, Path], max_file_bytes: int) -> None:
        self.jail = Jail(base, f"{leftovers.mark()}-{secrets.token_hex(4)}", next(_uids))
        self.jail.fill(programs.firecracker, files)
        try:
            self.process = subprocess.Popen(
                self.jail.command(programs, max_file_bytes), env={}, cwd="/", stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self.jail.remove()
            raise SandboxFailure(f"the jailer does not start: {error}") from error
        self.api = Api(self.jail.outside(API_SOCKET))

    async def ready(self) -> None:
        """Until it takes requests; metrics are set first, so that they cover the rest."""
        while not await asyncio.to_thread(_listens, self.jail.outside(API_SOCKET)):
            await asyncio.sleep(_POLL_S)
            if self.process.poll() is not None:
                raise SandboxFailure(f"the jailer ended with exit code {self.process.returncode}; it needs root")
        await self.api.put("/metrics", metrics_path=METRICS)

    async def connect(self) -> GuestMachine:
        """The machine, once its daemon answers."""
        line = await vsock.connect(self.jail.outside(VSOCK))
        return GuestMachine(self.process, line, self.jail.remove)

    def give_up(self) -> None:
        """End it before it became a machine."""
        self.process.kill()
        self.process.wait()
        self.jail.remove()


class Snapshot:
    """The files of a booted microVM."""

    def __init__(self, folder: Path, base: Path, programs: Programs, image: GuestImage) -> None:
        self._base, self._programs = base, programs
        self._files = {"rootfs.ext4": image.rootfs, _MEMORY: folder / _MEMORY, _STATE: folder / _STATE}
        self.layers: dict[str, str] = json.loads((folder / _LAYERS).read_text(encoding="utf-8"))
        """What isolates the waiting episode inside the guest."""

    async def restore(self, identity: str, timeout_s: float) -> GuestMachine:
        """A machine of its own, awake and unlike its siblings.

        Raises:
            SandboxFailure: Firecracker refuses, or it takes too long.
        """
        vmm = Jailed(self._base, self._programs, self._files, _MAX_METRICS_BYTES)
        machine: GuestMachine | None = None
        try:
            async with asyncio.timeout(timeout_s):
                await vmm.ready()
                backend = {"backend_type": "File", "backend_path": f"/{_MEMORY}"}
                await vmm.api.put("/snapshot/load", snapshot_path=f"/{_STATE}", mem_backend=backend, resume_vm=True)
                machine = await vmm.connect()
                await machine.introduce(identity)
        except BaseException as error:
            await _end(vmm, machine)
            if isinstance(error, TimeoutError):
                raise SandboxFailure(f"the microVM was not restored in {timeout_s:g} s") from error
            raise
        finally:
            await vmm.api.close()
        return machine


async def bake(
    folder: Path, base: Path, programs: Programs, image: GuestImage, hardware: Hardware, timeout_s: float
) -> Snapshot:
    """The snapshot of this image and hardware below `folder`: the one that is there, or a new one.

    Raises:
        SandboxFailure: the microVM does not boot in time, or Firecracker refuses.
    """
    key = hashlib.sha256(f"{image.key} {programs.firecracker} {hardware}".encode()).hexdigest()[:16]
    home = folder / f"firecracker-{key}"
    if not home.is_dir():
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        draft = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=folder, prefix=f"draft-{leftovers.mark()}-"))
        try:
            await _boot_and_save(draft, base, programs, image, hardware, timeout_s)
            await asyncio.to_thread(_publish, draft, home)
        finally:
            await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
    return Snapshot(home, base, programs, image)


async def _boot_and_save(
    draft: Path, base: Path, programs: Programs, image: GuestImage, hardware: Hardware, timeout_s: float
) -> None:
    files = {"vmlinux": image.kernel, "initrd": image.initrd, "rootfs.ext4": image.rootfs}
    vmm = Jailed(base, programs, files, 2 * hardware.memory_mb * 1024 * 1024)
    machine: GuestMachine | None = None
    try:
        async with asyncio.timeout(timeout_s):
            await vmm.ready()
            await _boot(vmm.api, hardware)
            machine = await vmm.connect()
            layers = await machine.hello()
            machine.hang_up()
            await vmm.api.patch("/vm", state="Paused")
            await vmm.api.put(
                "/snapshot/create", snapshot_type="Full", snapshot_path=f"/run/{_STATE}",
                mem_file_path=f"/run/{_MEMORY}",
            )  # fmt: skip
            for name in (_MEMORY, _STATE):
                await asyncio.to_thread(shutil.move, vmm.jail.outside(f"/run/{name}"), draft / name)
    except TimeoutError as error:
        raise SandboxFailure(f"the guest did not boot under Firecracker in {timeout_s:g} s") from error
    finally:
        await vmm.api.close()
        await _end(vmm, machine)
    await asyncio.to_thread((draft / _LAYERS).write_text, json.dumps(layers), encoding="utf-8")


async def _boot(api: Api, hardware: Hardware) -> None:
    await api.put("/machine-config", vcpu_count=hardware.num_cpus, mem_size_mib=hardware.memory_mb, smt=False)
    await api.put("/boot-source", kernel_image_path="/vmlinux", initrd_path="/initrd", boot_args=_BOOT)
    await api.put("/drives/root", drive_id="root", path_on_host="/rootfs.ext4", is_root_device=False, is_read_only=True)
    await api.put("/vsock", guest_cid=_GUEST_CID, uds_path=VSOCK)
    await api.put("/entropy")
    await api.put("/actions", action_type="InstanceStart")


async def _end(vmm: Jailed, machine: GuestMachine | None) -> None:
    if machine is not None:
        await asyncio.shield(machine.destroy())
    else:
        await asyncio.to_thread(vmm.give_up)


def reap(folder: Path, base: Path) -> int:
    """End the microVMs of owners that are gone, and remove their jails, cgroups and half-made snapshots; how many."""
    num_found = leftovers.end_processes(lambda words: "--id" in words and leftovers.is_orphaned(words))
    for program in base.glob("*"):
        for jail in leftovers.orphaned_folders(program):
            remove_cgroup(program.name, jail.name)
            num_found += 1
        leftovers.remove_orphaned_folders(program)
    return num_found + leftovers.remove_orphaned_folders(folder)


def _publish(draft: Path, home: Path) -> None:
    for name in (_MEMORY, _STATE):
        (draft / name).chmod(0o444)
    draft.chmod(0o755)
    with contextlib.suppress(OSError):  # another process was faster
        draft.rename(home)


def _listens(path: Path) -> bool:
    """Whether a connection is taken; the file alone is there a moment earlier."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as attempt:
        return attempt.connect_ex(str(path)) == 0
