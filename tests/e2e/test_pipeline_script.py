"""The four-stage script as its user starts it, on this machine's provider."""

import json
import subprocess
import sys

import pytest

from tests.docs.commands import ROOT
from tests.e2e.conftest import ControlPlane, wait_for

pytestmark = pytest.mark.timeout(240)
SCRIPT = ROOT / "scripts" / "modal_pipeline_test.py"


def play(plane: ControlPlane, *arguments: str) -> tuple[int, str, dict[str, object]]:
    command = [sys.executable, str(SCRIPT), "--url", plane.url, "--gpu-model", "cpu", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.stdout, done.stderr
    return done.returncode, done.stdout, json.loads(done.stdout.splitlines()[-1])


def test_four_stages_pass_on_the_local_provider_and_leave_nothing(control_plane: ControlPlane) -> None:
    code, printed, summary = play(control_plane, "--provider", "local", "--base-model", "skyscale/starter")
    assert code == 0, printed + control_plane.story(str(summary["run_id"]))
    assert [line for line in printed.splitlines() if line.startswith("[")] == [
        "[1/4] run", "[2/4] policy", "[3/4] workers", "[4/4] trainer",
    ]  # fmt: skip
    assert summary["passed"] is True and summary["policy_version"] == 3
    assert isinstance(summary["trajectories"], int) and summary["trajectories"] >= 4
    assert summary["jobs_left"] == []
    wait_for(lambda: not control_plane.everything(), 15, "all processes to end")


def test_what_is_refused_is_said_and_fails(control_plane: ControlPlane) -> None:
    code, printed, summary = play(control_plane, "--provider", "nowhere")
    assert code == 1 and summary["passed"] is False
    assert "nowhere" in str(summary["failure"]) and "FAILED" in printed
