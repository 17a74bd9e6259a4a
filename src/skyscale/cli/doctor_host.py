"""What else a control plane of this host can use: ports, KVM, accelerators, pip, and providers' credentials.

Looked at, never sent: whether a credential is accepted is the provider's to say when a job is started.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

CREDENTIALS: dict[str, tuple[str, ...]] = {
    "modal": ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"),
    "huggingface": ("HF_TOKEN",),
    "akash": ("AKASH_API_KEY",),
    "ray": ("RAY_API_SERVER_ADDRESS",),
    "railway": ("RAILWAY_TOKEN",),
    "s3": ("S3_BUCKET",),
}
"""Variables that each needs, all of them."""
INSTEAD: dict[str, tuple[str, ...]] = {
    "railway": ("RAILWAY_API_TOKEN", "RAILWAY_PROJECT_ID", "RAILWAY_ENVIRONMENT_ID"),
}
"""Others that do as well, used when the first of them is set."""
CONTROL_PLANE_PORT, DASHBOARD_PORT = 8080, 3000
SMI_S = 10.0


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is there or not."""

    name: str
    is_there: bool
    says: str
    advice: str = ""


def facts(environment: Mapping[str, str] | None = None) -> list[Fact]:
    """Everything, in the order in which a person meets it."""
    environment = os.environ if environment is None else environment
    ports = [
        _port("control plane", environment.get("PORT") or str(CONTROL_PLANE_PORT), "perhaps Skyscale; or set PORT"),
        _port("dashboard", str(DASHBOARD_PORT), "`skyscale up` takes the next free one"),
    ]
    return [*ports, _kvm(), _gpu(), _pip(), *(_credential(name, environment) for name in CREDENTIALS)]


def _port(owner: str, text: str, advice: str) -> Fact:
    name = f"port of the {owner}"
    if not text.isdecimal() or int(text) > 65535:
        return Fact(name, False, f"{text!r} is no port", "Set PORT to a number up to 65535.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(text)))
        except OSError as error:
            return Fact(name, False, f"{text}: {error.strerror}", f"Something has it: {advice}.")
    return Fact(name, True, f"{text} is free")


def _kvm() -> Fact:
    device = Path("/dev/kvm")
    if device.exists() and os.access(device, os.R_OK | os.W_OK):
        return Fact("KVM", True, "/dev/kvm can be opened")
    why = "/dev/kvm may not be opened" if device.exists() else "there is no /dev/kvm"
    return Fact("KVM", False, why, "Optional, for virtual machines: `modprobe kvm`, and join the group `kvm`.")


def _gpu() -> Fact:
    program = shutil.which("nvidia-smi")
    if program is not None:
        try:
            done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=SMI_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return Fact("GPU", False, f"nvidia-smi: {error}", "Look at the driver.")
        if done.returncode == 0 and done.stdout.strip():
            return Fact("GPU", True, "; ".join(line.partition(" (")[0] for line in done.stdout.splitlines()))
    return Fact("GPU", False, "none is seen here", "Optional: runs train on the CPU, or at a provider.")


def _pip() -> Fact:
    if find_spec("pip") is not None:
        return Fact("pip", True, "functions may have requirements")
    return Fact(
        "pip", False, "not installed beside Skyscale", "Functions with requirements need it: `python -m ensurepip`."
    )


def _credential(name: str, environment: Mapping[str, str]) -> Fact:
    wanted, instead = CREDENTIALS[name], INSTEAD.get(name)
    if instead and environment.get(instead[0], "").strip() and not environment.get(wanted[0], "").strip():
        wanted = instead
    missing = [variable for variable in wanted if not environment.get(variable, "").strip()]
    if not missing:
        return Fact(f"credentials of {name}", True, "set")
    if len(missing) == len(wanted):
        return Fact(f"credentials of {name}", False, "not set", f"Only to use it: set {', '.join(missing)}.")
    return Fact(f"credentials of {name}", False, f"half set: {', '.join(missing)} missing", "Set all of them, or none.")
