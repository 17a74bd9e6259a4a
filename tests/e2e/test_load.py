"""The burst of sandboxes for real, small; its limits can be broken; the k6 script is typed as k6 says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from skyscale.wire.functions import FunctionDeploy
from tests.docs.commands import ROOT
from tests.e2e.conftest import ControlPlane

pytestmark = pytest.mark.timeout(240)
CANNOT = 3


def burst(plane: ControlPlane, *options: str) -> tuple[int, dict[str, object]]:
    command = [sys.executable, str(ROOT / "perf" / "faas_load.py"), "--url", plane.url, "--users", "4", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_a_burst_of_sandboxes_and_calls_fails_nowhere_and_keeps_its_limit(control_plane: ControlPlane) -> None:
    code = "def handler(event):\n    return 2 * event['n']\n"
    control_plane.client.functions.deploy(FunctionDeploy(name="double", code=code))
    exit_code, seen = burst(control_plane, "--iterations", "12", "--p95-ms", "20000", "--function", "double")
    assert (exit_code, seen["passed"], seen["failures"], seen["requests"]) == (0, True, 0, 48), seen
    calls = seen["calls"]
    assert isinstance(calls, dict) and calls.keys() == {"create", "exec", "delete", "invoke"}
    assert all(call["requests"] == 12 and 0 < call["p50_ms"] <= call["p95_ms"] for call in calls.values())
    # The same with a limit that nothing can keep, and a function that is not there.
    exit_code, seen = burst(control_plane, "--iterations", "3", "--p95-ms", "0.001", "--function", "no-such-function")
    assert exit_code == 1 and seen["failures"] == 3 and seen["slow"]


def check(*scripts: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "check_load_test.py"), *map(str, scripts)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def test_the_k6_script_has_the_types_of_k6(tmp_path: Path) -> None:
    done = check()
    if done.returncode == CANNOT:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "wrong.js"
    wrong.write_text((ROOT / "perf" / "faas_load_test.js").read_text().replace("http.del(", "http.remove("))
    done = check(wrong)
    assert done.returncode == 1 and "remove" in done.stdout
