"""Every block of the page on functions is run as a reader would, against a control plane."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.docs.commands import ROOT, Block, blocks
from tests.service.functions.conftest import control_plane
from tests.service.functions.test_train import plane_of_actors

PAGE = ROOT / "docs" / "functions.md"
PYTHON = [block for block in blocks("python") if block.page == PAGE]
SHELL = [block for block in blocks("sh") if block.page == PAGE]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("page")
    skyscale = folder / "bin" / "skyscale"
    skyscale.parent.mkdir()
    skyscale.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m skyscale.cli.main "$@"\n')
    skyscale.chmod(0o755)
    with control_plane(folder / "plane") as (url, _):
        yield os.environ | {"SKYSCALE_URL": url, "PATH": f"{skyscale.parent}:{os.environ['PATH']}"}


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands(block: Block, environment: dict[str, str], tmp_path: Path) -> None:
    command = ["bash", "-euo", "pipefail", "-c", block.text]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '{"greeting": "Hello Ada"}' in done.stdout


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_programs(block: Block, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(block.text)
    command = [sys.executable, "program.py"]
    with contextlib.ExitStack() as stack:
        if "skyscale.train" in block.text:  # the processes of its run have no model, so that it takes a second
            environment = environment | {"SKYSCALE_URL": stack.enter_context(plane_of_actors(tmp_path / "actors"))}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ("plot" not in block.text) or (tmp_path / "reward.png").stat().st_size > 1000


def test_there_are_blocks_to_run() -> None:
    assert (len(SHELL), len(PYTHON)) == (1, 3)
