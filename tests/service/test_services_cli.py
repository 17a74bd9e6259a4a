"""docs/services.md as it stands: its commands, in order, against a Railway on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.railway_server import TOKEN, RailwayServer, wait_until
from tests.docs.commands import ROOT, blocks
from tests.e2e.conftest import ControlPlane


@pytest.mark.timeout(120)
def test_the_commands_of_the_page_on_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    railway = RailwayServer(tmp_path)
    monkeypatch.setenv("RAILWAY_API_URL", railway.url)
    monkeypatch.setenv("RAILWAY_TOKEN", TOKEN)
    plane = ControlPlane(tmp_path)
    (script,) = [block for block in blocks("sh") if block.page == ROOT / "docs" / "services.md"]
    environment = os.environ | {"SKYSCALE_URL": plane.url}
    said: list[str] = []
    try:
        plane.start()
        for line in script.text.splitlines():
            command = line.replace("skyscale", f"'{sys.executable}' -m skyscale.cli.main", 1)
            done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            said.append(done.stdout)
            if " deploy " in line:
                wait_until(
                    lambda: {railway._deployment(each)["status"] for each in railway.containers.values()} == {"SUCCESS"}
                )
        assert "python-fn" in said[0] and " at http://127.0.0.1:" in said[1]
        assert said[3] == '{"sum": 6}\n' and "POST / HTTP" in said[4]
        assert railway.containers == {}
    finally:
        plane.stop()
        railway.close()
