"""The OCI bundle that all containers of a backend share, and the command lines of runsc; pure but for `write`.

- No mount, no network, no device beyond gVisor's own; the root is read-only.
- The four capabilities serve the first moments of `guest/inside/container.py`, which gives them up before it is ready.
"""

import json
from pathlib import Path

_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID")
_BOOT = (
    "import sys; sys.path.insert(0, '/skyscale'); from sandboxes.guest.inside.container import main; "
    "del sys.path[0]; main({tmp_bytes})"
)


def write(folder: Path, executable: str, tmp_bytes: int) -> None:
    """The bundle's `config.json`; its root filesystem is `folder/rootfs`."""
    command = [executable, "-s", "-S", "-P", "-B", "-X", "utf8", "-c", _BOOT.format(tmp_bytes=tmp_bytes)]
    (folder / "config.json").write_text(json.dumps(_description(command)), encoding="utf-8")


def _description(command: list[str]) -> dict[str, object]:
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": command,
            "env": ["PYTHONHASHSEED=0"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES),
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "sandbox",
        "mounts": [],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }


def runsc(program: str, state: Path, platform: str, *arguments: str, rootless: bool) -> list[str]:
    """A command line of runsc."""
    flags = [
        f"--root={state}",
        f"--platform={platform}",
        "--network=none",
        "--ignore-cgroups",
        "--file-access=exclusive",
    ]
    return [program, *flags, *(["--rootless"] if rootless else []), *arguments]
