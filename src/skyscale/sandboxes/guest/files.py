"""The few files of ours that run behind the border, as one package that needs nothing but the standard library."""

import compileall
import py_compile
import shutil
from pathlib import Path

SANDBOXES = Path(__file__).resolve().parents[1]
OURS = ("encoding.py", "backends/process/zygote", "backends/process/workspaces/memory.py", "guest/inside")
"""Below `sandboxes/`."""


def copy_ours(target: Path) -> None:
    """The files of ours that run inside, as the package `sandboxes` in `target`."""
    for name in OURS:
        source, copy = SANDBOXES / name, target / "sandboxes" / name
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
    for folder in ("", "backends", "backends/process", "backends/process/workspaces", "guest"):
        (target / "sandboxes" / folder / "__init__.py").touch()
    compileall.compile_dir(target, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
