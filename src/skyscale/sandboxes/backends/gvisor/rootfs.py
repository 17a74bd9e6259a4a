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
BOX = "/box"
"""The root of interactive sandboxes, in the container's own."""
_SYSTEM = ("/usr/bin", "/usr/lib", "/usr/lib64", "/bin", "/lib", "/lib64", "/etc/alternatives")
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


def add_box(root: Path) -> dict[str, Path | None]:
    """Make the root of interactive sandboxes in `root`; what must be mounted where, or covered (None).

    Of the host it shows the system's programs and libraries, read-only, without the packages installed for Python.
    """
    box = root / BOX[1:]
    for name in ("workspace", "tmp", "code", "dev", "etc", "opt/bin", _PYTHON[1:]):
        (box / name).mkdir(parents=True)
    (box / "etc/passwd").write_text("nobody:x:65534:65534:sandbox:/workspace:/bin/bash\n", encoding="ascii")
    (box / "etc/group").write_text("nogroup:x:65534:\n", encoding="ascii")
    executable = next((root / _PYTHON[1:] / "bin").iterdir()).name
    (box / "opt/bin/python3").symlink_to(f"{_PYTHON}/bin/{executable}")
    shown: dict[str, Path | None] = {BOX + _PYTHON: root / _PYTHON[1:]}
    for path in map(Path, _SYSTEM):
        inside = box / str(path)[1:]
        if path.is_symlink():
            inside.symlink_to(path.readlink())
        elif path.is_dir():
            inside.mkdir(parents=True)
            shown[BOX + str(path)] = path
            shown |= {BOX + str(inner): None for inner in _installed_packages(path)}
    return shown


def _installed_packages(folder: Path) -> list[Path]:
    """Folders of packages that were installed beside a standard library: the host's affair."""
    places = [folder, *folder.glob("python3*")]
    found = [place / name for place in places for name in ("site-packages", "dist-packages")]
    return [path for path in found if path.is_dir() and not path.is_symlink()]


def _ignored(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in _LEFT_OUT or name.startswith("config-") or name.endswith(".opt-2.pyc")}


def _shared_objects(files: list[Path]) -> set[Path]:
    """The libraries that the loader will look for, by the names it will use."""
    listing = subprocess.run(
        ["ldd", *map(str, files)], capture_output=True, text=True, timeout=_LDD_TIMEOUT_S, check=False
    ).stdout
    return {Path(path) for path in re.findall(r"(?:=> |^\t)(/\S+) \(0x", listing, re.MULTILINE)}
