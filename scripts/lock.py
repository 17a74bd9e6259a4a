"""Write requirements/*.lock from pyproject.toml: every version pinned, no index or machine named.

torch is pinned without a local label: an index that has the CPU wheel gives that one, others their default build.
"""

import subprocess
import sys
from pathlib import Path

LOCKS = {"dev": ("dev",), "bench": ("dev", "bench"), "ray": ("dev", "ray")}


def main() -> None:
    """Resolve each lock again and write it; versions stay as they are where the old lock still fits."""
    for name, groups in LOCKS.items():
        target = Path("requirements") / f"{name}.lock"
        command = ["uv", "pip", "compile", "pyproject.toml", "--extra", "all", "--python-version", "3.11", "--quiet"]
        command += ["--no-header", "--no-annotate", "--no-emit-find-links", "--no-emit-index-url"]
        command += [flag for group in groups for flag in ("--group", group)]
        command += [flag for link in sys.argv[1:] for flag in ("--find-links", link)]
        done = subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True, text=True)
        target.write_text(done.stdout.replace("torch==2.13.0+cpu", "torch==2.13.0"))


if __name__ == "__main__":
    main()
