"""A run in five lines, with processes that speak the wire and have no model: `tests/service/actors.py`."""

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

import skyscale
from skyscale.errors import Invalid

ACTORS = str(Path(__file__).parents[1] / "actors.py")
SERVER = f"""
import sys
from pathlib import Path
from skyscale.api.serve import run_server
from skyscale.jobs import dispatch
from skyscale.settings import Settings
dispatch.COMMANDS.update(dict.fromkeys(dispatch.COMMANDS, (sys.executable, {ACTORS!r})))
settings = Settings(data_dir=Path(sys.argv[1]), port=0, heartbeat_s=0.2, reconcile_s=0.05)
run_server(settings, on_ready=lambda url: print(url, flush=True))
"""


@contextmanager
def plane_of_actors(folder: Path) -> Generator[str]:
    """The address of a control plane whose runs take a second."""
    command = [sys.executable, "-c", SERVER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture
def url(tmp_path: Path) -> Generator[str]:
    with plane_of_actors(tmp_path / "data") as address:
        yield address


def test_a_run_in_five_lines(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problems = tmp_path / "My problems.jsonl"
    problem = {"prompt": "Double x.", "style": "calls", "entry_point": "f", "test_cases": ["assert f(2) == 4"]}
    rows = [{"id": f"p{n}", **problem} for n in range(12)]
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))

    with skyscale.Client(url) as client:
        run = skyscale.train(
            "skyscale/starter", problems=problems, client=client, max_steps=3, evaluation={"num_problems": 0}
        )
        view = run.watch()
        assert view.status == "completed", view.reason
        assert run.has_ended
        assert view.spec.problem_set.startswith("my-problems@")
        said = capsys.readouterr().out
        assert f"{run.id} is completed" in said
        frame = run.frame()
        assert list(frame.index) == [1, 2, 3]
        assert list(frame["episode_reward"]) == [0.5, 0.5, 0.5]
        assert str(frame["time"].dtype).endswith("UTC]")
        run.plot(tmp_path / "reward.png")
        assert (tmp_path / "reward.png").read_bytes().startswith(b"\x89PNG")

        with pytest.raises(Invalid, match="no file"):
            skyscale.train(problems="missing.jsonl", client=client)
        with pytest.raises(Invalid, match="max_steps"):
            skyscale.train(max_steps=0, client=client)
