"""The page for newcomers works as it stands: its commands are run, in order, against a control plane."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.commands import ROOT, blocks
from tests.e2e.conftest import ControlPlane

pytestmark = pytest.mark.timeout(240)
START = ROOT / "docs" / "start.md"


def test_the_ten_minutes_of_a_newcomer(control_plane: ControlPlane, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    skyscale = programs / "skyscale"
    skyscale.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m skyscale.cli.main "$@"\n')
    skyscale.chmod(0o755)
    environment = os.environ | {"SKYSCALE_URL": control_plane.url, "PATH": f"{programs}:{os.environ['PATH']}"}
    scripts = [block for block in blocks("sh") if block.page == START and block.text != "skyscale serve\n"]
    assert len(scripts) == 5
    for block in scripts:
        # `doctor` boots a virtual machine where it can: half a minute that its own tests spend already.
        text = block.text.replace("skyscale doctor\n", "")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], env=environment, capture_output=True, text=True,
            timeout=150, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        assert done.stdout
    (program,) = [block for block in blocks("python") if block.page == START]
    text = program.text.replace("http://127.0.0.1:8080", control_plane.url)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "starting\n"), done.stderr
