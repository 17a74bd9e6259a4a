"""Write requirements/*.lock: every version pinned, no index or machine named.

torch is pinned without a local label: an index that has the CPU wheel gives that one, others their default build.
vLLM has a lock of its own, since it pins an older transformers than pyproject.toml asks for.
"""

import subprocess
import sys
from pathlib import Path

LOCKS = {
    "dev": ["pyproject.toml", "--extra", "all", "--group", "dev"],
    "bench": ["pyproject.toml", "--extra", "all", "--group", "dev", "--group", "bench"],
    "ray": ["pyproject.toml", "--extra", "all", "--group", "dev", "--group", "ray"],
    "vllm": ["requirements/vllm.in", "--override", "requirements/vllm-overrides.txt"],
}
QUIETLY = ["--quiet", "--no-header", "--no-annotate", "--no-emit-find-links", "--no-emit-index-url"]


def main() -> None:
    """Resolve each lock again and write it; versions stay as they are where the old lock still fits."""
    for name, sources in LOCKS.items():
        target = Path("requirements") / f"{name}.lock"
        command = ["uv", "pip", "compile", *sources, "--python-version", "3.11", *QUIETLY]
        command += [flag for link in sys.argv[1:] for flag in ("--find-links", link)]
        done = subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True, text=True)
        target.write_text(done.stdout.replace("torch==2.13.0+cpu", "torch==2.13.0"))


if __name__ == "__main__":
    main()
