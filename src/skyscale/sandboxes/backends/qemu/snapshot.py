"""One machine, booted once and kept as files; and machines made from those files.

- Its memory is a file that is mapped shared while it boots and privately afterwards: a restored machine sees the
  booted one's pages and writes to copies of its own. Nothing flows back.
- A snapshot belongs to an image, a QEMU version and a set of hardware; its folder is named for all of them and appears
  complete or not at all.
"""

import asyncio
import contextlib
import hashlib
import json
import shlex
import shutil
import tempfile
from pathlib import Path

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.qemu import launch
from skyscale.sandboxes.backends.qemu.launch import Hardware
from skyscale.sandboxes.backends.qemu.qmp import Qmp
from skyscale.sandboxes.guest import leftovers
from skyscale.sandboxes.guest.image import GuestImage
from skyscale.sandboxes.guest.machine import GuestMachine

_MEMORY, _STATE, _LAYERS = "memory", "state", "layers.json"
_IGNORE_SHARED = [{"capability": "x-ignore-shared", "state": True}]


class Snapshot:
    """The files of a booted machine."""

    def __init__(self, folder: Path, image: GuestImage, hardware: Hardware) -> None:
        self._folder = folder
        self.image = image
        self.hardware = hardware
        self.layers: dict[str, str] = json.loads((folder / _LAYERS).read_text(encoding="utf-8"))
        """What isolates the waiting episode inside the guest."""

    async def restore(self, identity: str, timeout_s: float) -> GuestMachine:
        """A machine of its own, awake and unlike its siblings.

        Raises:
            SandboxFailure: QEMU refuses, or it takes too long.
        """
        with (self._folder / _STATE).open("rb") as state:
            started = launch.launch(
                self.image, self.hardware, self._folder / _MEMORY, state=(state_number := state.fileno())
            )
        process, line, control = started
        machine, qmp = GuestMachine(process, line), Qmp(control)
        try:
            async with asyncio.timeout(timeout_s):
                await qmp.open()
                await qmp.execute("migrate-set-capabilities", capabilities=_IGNORE_SHARED)
                await qmp.execute("migrate-incoming", uri=f"fd:{state_number}")
                await qmp.until("query-status", "paused", "internal-error")  # as it was when it was saved
                await qmp.execute("cont")
                await machine.introduce(identity)
        except BaseException as error:
            await asyncio.shield(machine.destroy())
            if isinstance(error, TimeoutError):
                raise SandboxFailure(f"the machine was not restored in {timeout_s:g} s") from error
            raise
        finally:
            qmp.close()
        return machine


async def bake(folder: Path, image: GuestImage, hardware: Hardware, timeout_s: float) -> Snapshot:
    """The snapshot of this image and hardware below `folder`: the one that is there, or a new one.

    Raises:
        SandboxFailure: the machine does not boot in time, or QEMU refuses.
    """
    version = await asyncio.to_thread(launch.version)
    key = hashlib.sha256(f"{image.key} {version} {hardware}".encode()).hexdigest()[:16]
    home = folder / key
    if not home.is_dir():
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        draft = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=folder, prefix=f"draft-{leftovers.mark()}-"))
        try:
            await _boot_and_save(draft, image, hardware, timeout_s)
            await asyncio.to_thread(_publish, draft, home)
        finally:
            await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
    return Snapshot(home, image, hardware)


def _publish(draft: Path, home: Path) -> None:
    with contextlib.suppress(OSError):  # another process was faster
        draft.rename(home)


async def _boot_and_save(folder: Path, image: GuestImage, hardware: Hardware, timeout_s: float) -> None:
    process, line, control = launch.launch(image, hardware, folder / _MEMORY)
    machine, qmp = GuestMachine(process, line), Qmp(control)
    try:
        async with asyncio.timeout(timeout_s):
            await qmp.open()
            layers = await machine.hello()
            await qmp.execute("stop")
            await qmp.execute("migrate-set-capabilities", capabilities=_IGNORE_SHARED)
            await qmp.execute("migrate", uri=f"exec:cat > {shlex.quote(str(folder / _STATE))}")
            await qmp.until("query-migrate", "completed")
    except TimeoutError as error:
        raise SandboxFailure(f"the guest did not boot under {hardware.accelerator} in {timeout_s:g} s") from error
    finally:
        qmp.close()
        await asyncio.shield(machine.destroy())
    (folder / _LAYERS).write_text(json.dumps(layers), encoding="utf-8")
    (folder / _MEMORY).chmod(0o400)
