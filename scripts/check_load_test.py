"""Check the types of perf/faas_load_test.js with k6's own; installs them by the lock file into build/k6.

    python scripts/check_load_test.py

Exit code 0 when they hold, 1 when they do not, 3 when there is no Node or no registry to get them from.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE, TARGET = ROOT / "perf" / "k6", ROOT / "build" / "k6"
OPTIONS = ["--noEmit", "--allowJs", "--checkJs", "--strict", "--target", "es2022", "--module", "esnext"]
OPTIONS += ["--moduleResolution", "bundler", "--types", "k6", "--skipLibCheck"]
CANNOT = 3
INSTALL_S = 90
"""Two small packages; npm itself would wait for a registry that does not answer for ten minutes."""


def main(script: Path = ROOT / "perf" / "faas_load_test.js") -> int:
    """The exit code."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        return _cannot("there is no Node here")
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(SOURCE / name, TARGET / name)
    if not (TARGET / "node_modules" / ".package-lock.json").exists():
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
        try:
            subprocess.run(command, cwd=TARGET, capture_output=True, text=True, check=True, timeout=INSTALL_S)
        except subprocess.TimeoutExpired:
            return _cannot(f"npm ci took longer than {INSTALL_S} s: the registry is slow or away")
        except subprocess.CalledProcessError as error:
            return _cannot(f"npm ci: {error.stderr[-500:]}")
    copy = TARGET / script.name
    shutil.copyfile(script, copy)
    compiler = TARGET / "node_modules" / "typescript" / "bin" / "tsc"
    return subprocess.run([node, str(compiler), *OPTIONS, copy.name], cwd=TARGET, check=False).returncode and 1


def _cannot(reason: str) -> int:
    sys.stderr.write(f"not checked: {reason}\n")
    return CANNOT


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
