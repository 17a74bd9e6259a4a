"""The demo's control plane: what it started it also ends."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skyscale.cli.demo_server import DemoServer, kill_left_overs, new_folder
from skyscale.errors import Unavailable


def test_jobs_left_by_a_killed_control_plane_are_ended_and_no_others(tmp_path: Path):
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    ours, other = (
        subprocess.Popen(sleeper, env={**os.environ, "SKYSCALE_JOB_FOLDER": str(tmp_path / name / "jobs" / "job-1")})
        for name in ("ours", "ours-too")
    )
    try:
        assert kill_left_overs(tmp_path / "ours") == [ours.pid]
        assert ours.wait(5) == -9
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_control_plane_that_cannot_start_is_told_with_the_end_of_its_log(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = DemoServer(tmp_path, taken.getsockname()[1])
        # The listener accepts and never answers, so only the child's end can tell what is wrong.
        with server, pytest.raises(Unavailable, match="ended with exit code 1") as caught:
            while True:
                server.check()
                time.sleep(0.05)
    assert "cannot listen on" in caught.value.detail
    assert "control-plane.log" in caught.value.hint


def test_the_settings_of_another_control_plane_do_not_reach_the_demos(tmp_path: Path, monkeypatch):
    from skyscale.cli.demo_server import _environment

    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://elsewhere/db")
    monkeypatch.setenv("SKYSCALE_DASHBOARD_TOKEN", "secret")
    monkeypatch.setenv("HF_HOME", "models")
    environment = _environment()
    assert {"DATABASE_URL", "SKYSCALE_DASHBOARD_TOKEN"}.isdisjoint(environment)
    assert environment["HF_HOME"] == "models"


def test_every_demo_has_a_folder_of_its_own(tmp_path: Path):
    first = new_folder(tmp_path)
    first.mkdir()
    assert new_folder(tmp_path) != first
