"""QEMU's command line, and its start with two sockets: the guest's serial line and the control protocol."""

import itertools
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.guest import leftovers
from skyscale.sandboxes.guest.image import GuestImage

PROGRAM = "qemu-system-x86_64"
_BOOT = (
    "console=ttyS0 quiet loglevel=1 reboot=t panic=-1 tsc=reliable no_timer_check nokaslr mitigations=off "
    "random.trust_cpu=on i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd"
)
_FIRST_UID, _NUM_UIDS = 115_000, 4000
_uids = itertools.cycle(range(_FIRST_UID, _FIRST_UID + _NUM_UIDS))
Mode = Literal["episode", "workspace"]
"""What the guest's daemon makes ready: one episode, or an interactive sandbox."""
_CPU = {"tcg": "qemu64", "kvm": "host"}


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a machine is made of; a snapshot fits the same hardware only."""

    accelerator: str
    memory_mb: int
    num_cpus: int
    mode: Mode


def command(
    image: GuestImage, hardware: Hardware, memory: Path, line: int, control: int, *, is_restored: bool
) -> list[str]:
    """The arguments; `memory` is the file behind the guest's memory: shared when baking, copied on write afterwards.

    The name marks the machine as ours, so that whoever starts after a crash can end it.
    """
    size = f"{hardware.memory_mb}M"
    share = "off" if is_restored else "on"
    return [
        PROGRAM, "-name", leftovers.mark(), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "q35,memory-backend=memory,hpet=off,smm=off,sata=off,smbus=off,usb=off",
        "-accel", hardware.accelerator, "-cpu", _CPU[hardware.accelerator], "-smp", str(hardware.num_cpus), "-m", size,
        "-object", f"memory-backend-file,id=memory,size={size},mem-path={memory},share={share}",
        "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", f"{_BOOT} skyscale={hardware.mode}",
        "-drive", f"file={image.rootfs},if=none,id=root,readonly=on,format=raw",
        "-device", "virtio-blk-pci,drive=root",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=line,fd={line}",
        "-device", "virtserialport,chardev=line,name=skyscale",
        "-chardev", f"socket,id=control,fd={control}",
        "-mon", "chardev=control,mode=control",
        *(_confined() if is_restored else ["-sandbox", "on,obsolete=deny,resourcecontrol=deny"]),
    ]  # fmt: skip


def _confined() -> list[str]:
    """Of a machine that will run foreign code: it starts no process, and where we are root it has a user of its own.

    QEMU puts its filter on before it changes its user, so the filter may forbid that only where nothing is changed.
    """
    uid = next(_uids)
    if os.geteuid() == 0:
        how = ["-sandbox", "on,obsolete=deny,spawn=deny,resourcecontrol=deny", "-runas", f"{uid}:{uid}"]
    else:
        how = ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
    return [*how, "-incoming", "defer"]


def launch(
    image: GuestImage, hardware: Hardware, memory: Path, *, state: int | None = None
) -> tuple[subprocess.Popen[bytes], socket.socket, socket.socket]:
    """Start it: the process, our end of the serial line, our end of the control protocol.

    `state` is a descriptor of the saved machine's state, which the process gets under the same number.
    """
    (line, its_line), (control, its_control) = socket.socketpair(), socket.socketpair()
    with its_line, its_control:
        passed = (its_line.fileno(), its_control.fileno(), *(() if state is None else (state,)))
        arguments = command(
            image, hardware, memory, its_line.fileno(), its_control.fileno(), is_restored=state is not None
        )
        try:
            process = subprocess.Popen(
                arguments, pass_fds=passed, env={"PATH": "/usr/bin:/bin"}, cwd="/",
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            line.close()
            control.close()
            raise SandboxFailure(f"{PROGRAM} does not start: {error}") from error
    return process, line, control


def version() -> str:
    """QEMU's own first line about itself.

    Raises:
        SandboxFailure: it is not installed.
    """
    if shutil.which(PROGRAM) is None:
        raise SandboxFailure(
            f"{PROGRAM} is not installed", code="sandbox_backend_missing",
            hint="Install it (Debian: `apt-get install qemu-system-x86`), or choose another sandbox backend.",
        )  # fmt: skip
    done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.partition("\n")[0]
