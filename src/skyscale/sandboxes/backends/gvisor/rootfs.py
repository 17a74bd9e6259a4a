"""The root of a gVisor container: this interpreter, its standard library, and our few files. Nothing else of the host.

Copied once per backend into a folder of its own; containers see it read-only. No shell, no other program, no
installed package, no /etc is in it.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from skyscale.sandboxes.guest.files import copy_ours

_LEFT_OUT = frozenset({
    "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3",
    "pydoc_data",
})  # fmt: skip
_PYTHON = "/python"
_LIBRARIES = "/lib"
"""The loader looks there by itself; `/lib64` is a link to it, for the loader's own path."""
_MOUNT_POINTS = ("tmp", "proc", "sys", "dev", "skyscale")
_LDD_TIMEOUT_S = 30.0


def build(root: Path) -> str:
    """Fill `root`; returns the interpreter's path in it."""
    for name in _MOUNT_POINTS:
        (root / name).mkdir(parents=True)
    library = Path(sysconfig.get_path("stdlib")).resolve()
    executable = root / _PYTHON[1:] / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    executable.parent.mkdir(parents=True)
    shutil.copy(Path(sys.executable).resolve(), executable)
    shutil.copytree(library, root / _PYTHON[1:] / "lib" / library.name, ignore=_ignored)
    (root / _LIBRARIES[1:]).mkdir()
    (root / "lib64").symlink_to(_LIBRARIES[1:])
    for shared in _shared_objects([Path(sys.executable).resolve(), *(library / "lib-dynload").glob("*.so")]):
        shutil.copy(shared, root / _LIBRARIES[1:] / shared.name)
    copy_ours(root / "skyscale")
    return f"/{executable.relative_to(root)}"


def _ignored(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in _LEFT_OUT or name.startswith("config-") or name.endswith(".opt-2.pyc")}


def _shared_objects(files: list[Path]) -> set[Path]:
    """The libraries that the loader will look for, by the names it will use."""
    listing = subprocess.run(
        ["ldd", *map(str, files)], capture_output=True, text=True, timeout=_LDD_TIMEOUT_S, check=False
    ).stdout
    return {Path(path) for path in re.findall(r"(?:=> |^\t)(/\S+) \(0x", listing, re.MULTILINE)}
