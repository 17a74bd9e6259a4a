"""A whole run whose weights live on S3: published, fetched, kept, downloaded; and the minute in which S3 is away."""

import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from skyscale.cli.main import run as skyscale
from skyscale.wire.runs import Evaluation, RunCreate, RunStatus
from tests.contract.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server, client, environment, s3_server
from tests.e2e.conftest import ControlPlane, wait_for

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Generator[S3Server]:
    with s3_server() as server:
        for name, value in (environment(server, retry_s=120.0) | {"S3_BUCKET": f"{BUCKET}/team"}).items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def plane(s3: S3Server, tmp_path: Path) -> Generator[ControlPlane]:
    plane = ControlPlane(tmp_path)
    plane.start()
    yield plane
    plane.stop()
    wait_for(lambda: not plane.everything(), 15, "all job processes to end")


@pytest.mark.parametrize("outage_s", [6.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_a_run_on_s3_survives_an_outage_and_its_newest_version_is_pulled(
    plane: ControlPlane, s3: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], outage_s: float
) -> None:
    request = RunCreate(max_steps=8, keep_versions=2, evaluation=Evaluation(num_problems=8, samples_per_problem=2))
    run_id = plane.client.create_run(request).run_id
    wait_for_versions(plane, run_id, 2)
    outage(s3, outage_s)
    view = plane.wait_for_end(run_id, 150)
    assert view.status == RunStatus.COMPLETED, plane.story(run_id)
    assert view.policy_version == view.serving_version == 8
    assert view.checkpoint == f"s3://{BUCKET}/team/runs/{run_id}/versions/v000008"
    assert not [event for event in plane.client.events(run_id, limit=500).events if event.kind == "job.lost"]

    kept = plane.client.checkpoints(run_id).checkpoints
    assert kept[0].version == 8 and kept[0].is_newest and kept[0].is_in_use
    assert {each.version for each in kept} >= {7, 8} and len(kept) <= 4
    assert any(each.is_best for each in kept) == (view.best_version != 0)
    with closing(client(s3)) as operator:
        uploads = operator.list_multipart_uploads(Bucket=BUCKET)
    assert "Uploads" not in uploads

    into = tmp_path / "pulled"
    assert skyscale(["checkpoints", "pull", run_id, str(into), "--version", "newest", "--url", plane.url]) == 0
    assert {file.name for file in kept[0].files} == {path.name for path in into.iterdir()}
    assert AutoModelForCausalLM.from_pretrained(into).config.vocab_size > 0
    assert "version 8" in capsys.readouterr().out

    everything = b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".part"
    )
    assert SECRET_KEY.encode() not in everything, "the secret is in a log, the database or a job's folder"
    assert ACCESS_KEY.encode() not in plane.log.read_bytes()


def test_wrong_keys_stop_the_control_plane_at_its_start(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_ACCESS_KEY", "AKIDSTRANGER")
    command = [sys.executable, "-m", "skyscale.cli.main", "serve", "--port", "0", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "S3_ACCESS_KEY" in done.stderr and "Traceback" not in done.stderr


def wait_for_versions(plane: ControlPlane, run_id: str, versions: int) -> None:
    """Until so many are published; a failure tells the run's story."""
    deadline = time.monotonic() + 90
    while plane.client.get_run(run_id).policy_version < versions:
        assert time.monotonic() < deadline, plane.story(run_id)
        time.sleep(0.1)


def outage(s3: S3Server, seconds: float) -> None:
    """Answer everything with 503 for a while, from a thread of its own."""

    def end() -> None:
        time.sleep(seconds)
        s3.fail = 0

    s3.fail = 1_000_000
    threading.Thread(target=end, daemon=True).start()
