"""The burst of perf/faas_load_test.js, run for real with locust: sandboxes, and function calls where one is named.

    python perf/faas_load.py [--url URL] [--users 8] [--iterations 100] [--function NAME] [--p95-ms 3000]

Without --url it starts a control plane of its own on a free port, and ends it. Each iteration makes a sandbox, runs
a program in it, checks what it printed, and deletes it. Its last line is JSON: requests, failures, and per call the
median and 95th percentile in ms. Exit code 1 when anything failed or a 95th percentile is above the limit.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SCENARIO = Path(__file__).with_name("faas_scenario.py")
LIMIT_S = 900


def play(url: str, options: argparse.Namespace) -> dict[str, Any]:
    """One burst; what locust saw of it."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        environment = os.environ | {
            "ITERATIONS": str(options.iterations), "USERS": str(options.users),
            "FUNCTION_NAME": options.function, "REPORT": str(report),
        }  # fmt: skip
        command = [sys.executable, "-m", "locust", "-f", str(SCENARIO), "--headless", "--only-summary", "-H", url]
        command += ["-u", str(options.users), "-r", str(options.users), "-t", f"{LIMIT_S}s", "--stop-timeout", "60"]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=LIMIT_S + 120, check=False
        )
        if not report.exists():
            raise SystemExit(f"locust ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return json.loads(report.read_text())


def main() -> int:
    """Run it; 0 when it kept its limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a control plane that runs already")
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--function", default="", help="a function to invoke in each iteration, too")
    parser.add_argument("--p95-ms", type=float, default=3000.0)
    options = parser.parse_args()

    from skyscale.cli.demo_server import DemoServer

    if options.url is not None:
        seen = play(options.url, options)
    else:
        with tempfile.TemporaryDirectory() as folder, DemoServer(Path(folder), 0) as server:
            server.wait_until_ready()
            seen = play(server.url, options)
    wanted = options.iterations * (4 if options.function else 3)
    slow = [name for name, call in seen["calls"].items() if call["p95_ms"] > options.p95_ms]
    seen |= {"users": options.users, "iterations": options.iterations, "p95_limit_ms": options.p95_ms, "slow": slow}
    seen["passed"] = seen["failures"] == 0 and not slow and seen["requests"] == wanted
    print(json.dumps(seen))
    return 0 if seen["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
