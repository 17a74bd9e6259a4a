"""Every block of Python and shell runs as it stands, page by page and in order; or its comment says why not.

A page's blocks share a folder, and a control plane that is there already: what `skyscale serve` would start.
`doctor` is left out, since it boots a virtual machine where it can, and its own tests do that.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.docs.commands import ROOT, Block, blocks
from tests.e2e.conftest import ControlPlane, wait_for

pytestmark = pytest.mark.timeout(240)
RUNNABLE = ("sh", "bash", "console", "python")
SHIM = """#!/bin/sh
case "$1" in doctor) exit 0;; esac
exec "{python}" -m skyscale.cli.main "$@"
"""


def of_page(name: str) -> list[Block]:
    """The page's blocks that are run here."""
    mine = [block for block in blocks(*RUNNABLE) if str(block.page.relative_to(ROOT)) == name]
    return [block for block in mine if not block.remark or block.remark.startswith("run in background")]


PAGES = sorted({str(block.page.relative_to(ROOT)) for block in blocks(*RUNNABLE)})
RUN = [page for page in PAGES if of_page(page)]


def problems(folder: Path) -> None:
    """The two files that the page on problems talks of; the first is the page's own example."""
    (example,) = [block for block in blocks("json") if block.page.name == "problem-format.md"]
    (folder / "sums.jsonl").write_text(example.text)
    row = {"task_id": 1, "text": "Add two.", "code": "def f(n):\n    return n + 2", "test_list": ["assert f(1) == 3"]}
    (folder / "mbpp.jsonl").write_text(json.dumps(row) + "\n")


def table(folder: Path) -> None:
    """What `skyscale rollouts export` writes, with the columns that the page uses."""
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"problem_id": ["a", "a"], "reward": [0.0, 1.0]}), folder / "out.parquet")


def job(folder: Path) -> None:
    """A module to copy into a sandbox."""
    (folder / "job.py").write_text("print('here')\n")


PREPARED: dict[str, Callable[[Path], None]] = {
    "docs/problem-format.md": problems,
    "docs/rollouts.md": table,
    "docs/sandboxes.md": job,
}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Generator[ControlPlane]:
    """One control plane for all pages."""
    made = ControlPlane(tmp_path_factory.mktemp("docs"))
    made.start()
    yield made
    made.stop()
    wait_for(lambda: not made.everything(), 15, "all job processes to end")


@pytest.mark.parametrize("page", RUN)
def test_a_page_does_what_it_says(page: str, plane: ControlPlane, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "skyscale").write_text(SHIM.format(python=sys.executable))
    (programs / "skyscale").chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    environment = os.environ | {"SKYSCALE_URL": plane.url, "PATH": f"{programs}:{os.environ['PATH']}"}
    PREPARED.get(page, lambda folder: None)(tmp_path)
    background: list[subprocess.Popen[bytes]] = []
    try:
        for block in of_page(page):
            command = as_command(block)
            if block.remark:
                background.append(subprocess.Popen(command, env=environment, cwd=tmp_path))
                wait_for(lambda: bool(hosts(plane)), 60, "the host to register")
                continue
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=120, cwd=tmp_path,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
    finally:
        for process in background:
            process.terminate()
            process.wait(30)
        for run in plane.client.list_runs().runs:
            plane.client.stop_run(run.run_id)


def hosts(plane: ControlPlane) -> list[str]:
    """The sandbox hosts that the control plane knows."""
    command = [sys.executable, "-m", "skyscale.cli.main", "sandbox", "hosts"]
    done = subprocess.run(command, env=os.environ | {"SKYSCALE_URL": plane.url}, capture_output=True, text=True)
    return re.findall(r"sbh-\w+", done.stdout)


def as_command(block: Block) -> list[str]:
    """How a block is run: Python by this interpreter, shell with every failure an end."""
    if block.language == "python":
        return [sys.executable, "-c", block.text]
    text = block.text
    if block.language == "console":
        text = "\n".join(line.removeprefix("$ ") for line in text.splitlines() if line.startswith(("$ ", "    ")))
    if block.remark:
        text = f"exec {text}"
    return ["bash", "-euo", "pipefail", "-c", text]


@pytest.mark.parametrize("block", [b for b in blocks(*RUNNABLE) if b.remark], ids=str)
def test_a_block_that_is_not_run_here_says_why(block: Block) -> None:
    reason, _, text = block.remark.partition(": ")
    if block.remark.startswith("run by "):
        test = ROOT / block.remark.removeprefix("run by ")
        last = Path(block.text.split()[-1]).name
        assert block.page.name in test.read_text() or last in test.read_text(), block
    elif reason == "run in background":
        assert block in of_page(str(block.page.relative_to(ROOT)))
    else:
        assert reason == "not run" and len(text) > 10, f"{block}: {block.remark!r}"


def test_nothing_escapes() -> None:
    known = {str(block) for page in RUN for block in of_page(page)}
    remarked = {str(block) for block in blocks(*RUNNABLE) if block.remark}
    assert {str(block) for block in blocks(*RUNNABLE)} == known | remarked
    assert len(known) >= 8
