"""The OCI bundle that all containers of a backend share, and the command lines of runsc; pure but for `write`.

- No network, no device beyond gVisor's own; the root is read-only, and so is what of the host is shown in it.
- The capabilities serve the first moments of `guest/inside/container*.py`; no foreign code ever has them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

_BOOT = "import sys; sys.path.insert(0, '/skyscale'); from sandboxes.guest.inside.{module} import main; {rest}"
_EPISODE = ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID")
_WORKSPACE = (*_EPISODE, "CAP_SYS_CHROOT", "CAP_MKNOD")


def write_episode(folder: Path, executable: str, tmp_bytes: int) -> None:
    """The bundle's `config.json` for single-use containers; its root filesystem is `folder/rootfs`."""
    boot = _BOOT.format(module="container", rest=f"del sys.path[0]; main({tmp_bytes})")
    _write(folder, executable, boot, _EPISODE, {})


def write_workspace(folder: Path, executable: str, shown: Mapping[str, Path | None]) -> None:
    """The same for interactive sandboxes, with folders of the host shown read-only, or covered where None."""
    boot = _BOOT.format(module="container_workspace", rest="del sys.path[0]; main()")
    _write(folder, executable, boot, _WORKSPACE, shown)


def _write(
    folder: Path, executable: str, boot: str, capabilities: Sequence[str], shown: Mapping[str, Path | None]
) -> None:
    command = [executable, "-s", "-S", "-P", "-B", "-X", "utf8", "-c", boot]
    description = _description(command, capabilities, [_mount(inside, path) for inside, path in shown.items()])
    (folder / "config.json").write_text(json.dumps(description), encoding="utf-8")


def _mount(inside: str, path: Path | None) -> dict[str, object]:
    if path is None:
        options = ["ro", "nosuid", "nodev", "noexec", "size=4k"]
        return {"destination": inside, "type": "tmpfs", "source": "none", "options": options}
    return {"destination": inside, "type": "bind", "source": str(path), "options": ["bind", "ro", "nosuid", "nodev"]}


def _description(command: list[str], capabilities: Sequence[str], mounts: list[dict[str, object]]) -> dict[str, object]:
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": command,
            "env": ["PYTHONHASHSEED=0"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "sandbox",
        "mounts": mounts,
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
