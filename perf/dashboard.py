"""How quickly the dashboard answers a hand while four runs stream, in a real browser on the real stack.

    python scripts/build_dashboard.py && python perf/dashboard.py [seconds of use]

Four runs of the starter model train at once on this machine (they take the processor too), and the first page shows the
charts of all four. Meanwhile a browser without a GPU does what an operator does: smooths, searches, sorts, ticks runs,
switches axes. The delay of an interaction is Chrome's own: from the event to the next paint, the worst event of each
interaction; what is quicker than 16 ms counts as 16. The last line is one JSON object.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
LIMIT_S = 900


def main() -> None:
    """Run the measurement and print its figures."""
    from build_dashboard import Npm  # pyright: ignore[reportMissingImports]

    if not (ROOT / "dashboard" / ".next" / "standalone" / "server.js").is_file():
        sys.exit("the dashboard is not built: python scripts/build_dashboard.py")
    npm = Npm()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        own = {"PYTHON": sys.executable, "DASHBOARD_NODE": str(npm.node), "PERF_OUT": str(out)}
        try:
            npm("run", "perf", timeout_s=LIMIT_S, **own, PERF_SECONDS=sys.argv[1] if sys.argv[1:] else "45")
        except subprocess.CalledProcessError as error:
            sys.exit(f"not measured: exit code {error.returncode}")
        figures = json.loads(out.read_text())
    print(json.dumps(figures | {"cores": os.cpu_count()}))


if __name__ == "__main__":
    main()
