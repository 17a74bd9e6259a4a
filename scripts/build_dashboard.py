"""Build the dashboard into src/skyscale/dashboard_dist, from where `skyscale up` runs it and wheels carry it.

    python scripts/build_dashboard.py            the server, for a machine with Node
    python scripts/build_dashboard.py --export   also the read-only pages, for one without

Nothing of it is committed. The folder names no path of this machine, so that two builds of one source are alike.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from skyscale.cli.dashboard_bundle import find_node

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "dashboard"
TARGET = ROOT / "src" / "skyscale" / "dashboard_dist"
NEEDED = (".next", "node_modules", "public", "package.json", "preload.cjs", "server.js")
TEXT = {".js", ".cjs", ".mjs", ".json", ".html", ".rsc", ".body", ".meta"}


def build(*, with_export: bool) -> None:
    """Install what the source needs, build it, and copy what runs."""
    npm = Npm()
    if not (SOURCE / "node_modules" / ".package-lock.json").is_file():
        # Not `ci`: it refuses a lock file made where the registry has not the native packages of every platform.
        npm("install", "--no-save", "--ignore-scripts")
    if with_export:  # first: each build empties .next, and the server's is tested from there
        npm("run", "build", SKYSCALE_EXPORT="1")
    npm("run", "build")
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    standalone = SOURCE / ".next" / "standalone"
    for name in NEEDED:
        copy = shutil.copytree if (standalone / name).is_dir() else shutil.copy2
        copy(standalone / name, TARGET / name)
    if with_export:
        shutil.copytree(SOURCE / "out", TARGET / "export")
    forget_this_machine(TARGET)
    size = sum(path.stat().st_size for path in TARGET.rglob("*") if path.is_file())
    sys.stdout.write(f"{TARGET.relative_to(ROOT)}: {size / 1e6:.1f} MB\n")


class Npm:
    """npm of the Node that runs the dashboard too."""

    def __init__(self) -> None:
        self.node = find_node().path
        beside = self.node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        found = shutil.which("npm")
        if beside.is_file():
            self.command = [str(self.node), str(beside)]
        elif found is not None:
            self.command = [found]
        else:
            sys.exit("npm is needed to build the dashboard: pip install 'skyscale[dashboard]' brings it")

    def __call__(self, *arguments: str, timeout_s: float | None = None, **environment: str) -> None:
        """Run one command in the dashboard's folder; its output is ours. Raises what `subprocess.run` raises."""
        paths = os.pathsep.join([str(self.node.parent), os.environ.get("PATH", "")])
        settings = os.environ | {"PATH": paths, "NEXT_TELEMETRY_DISABLED": "1"} | environment
        subprocess.run([*self.command, *arguments], cwd=SOURCE, env=settings, check=True, timeout=timeout_s)


def forget_this_machine(folder: Path) -> None:
    """Replace the path of the source, which Next writes into what it builds."""
    here = str(SOURCE)
    for path in folder.rglob("*"):
        if path.suffix in TEXT and path.is_file():
            text = path.read_text(errors="surrogateescape")
            if here in text:
                path.write_text(text.replace(here, "/app"), errors="surrogateescape")


if __name__ == "__main__":
    build(with_export="--export" in sys.argv[1:])
