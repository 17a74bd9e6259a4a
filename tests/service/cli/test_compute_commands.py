"""Commands about compute, and requests that reach the wrong one of two control planes; both are real processes."""

import json
import sys
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from skyscale.cli.main import run
from tests.e2e.conftest import ControlPlane, wait_for

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Generator[list[ControlPlane]]:
    folder = tmp_path_factory.mktemp("two")
    shared = {
        "DB_PATH": str(folder / "shared.db"), "ARTIFACT_LOCAL_DIR": str(folder / "artifacts"),
        "SKYSCALE_SECRET": "s" * 40, "SKYSCALE_PRICES": '{"local": {"cpu": 0.36}}', "SKYSCALE_RECONCILE_S": "0.1",
    }  # fmt: skip
    made = [ControlPlane(folder / name, environment=shared) for name in ("one", "two")]
    try:
        for plane in made:
            plane.folder.mkdir()
            plane.start()
        yield made
    finally:
        for plane in reversed(made):
            plane.stop()


@pytest.fixture
def plane(planes: list[ControlPlane], monkeypatch: pytest.MonkeyPatch) -> ControlPlane:
    monkeypatch.setenv("SKYSCALE_URL", planes[0].url)
    return planes[0]


def said(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> str:
    assert run(list(args)) == code, capsys.readouterr()
    return capsys.readouterr().out


KEEP = """
import os, urllib.request
url = f"{os.environ['SKYSCALE_URL']}/api/training/jobs/{os.environ['SKYSCALE_JOB_ID']}/artifacts/out.txt"
head = {"Authorization": f"Bearer {os.environ['SKYSCALE_JOB_TOKEN']}"}
urllib.request.urlopen(urllib.request.Request(url, b"kept " + os.environ["WORD"].encode(), head, method="PUT"))
print("sent")
"""


def test_a_job_is_submitted_followed_metered_and_its_files_are_fetched(
    plane: ControlPlane, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--env", "WORD=well", "--max-cost-usd", "1", "--job-id", "job-keeps"]
    text = said(capsys, "jobs", "submit", "--follow", *words, "--", sys.executable, "-c", KEEP)
    assert "sent\n" in text
    assert "out.txt" in said(capsys, "jobs", "artifacts", "job-keeps", "--into", str(tmp_path / "got"))
    assert (tmp_path / "got" / "out.txt").read_bytes() == b"kept well"
    wait_for(lambda: plane.client.costs().jobs.usd > 0, 30, "the meter to tick")
    view = json.loads(said(capsys, "jobs", "show", "--json", "job-keeps"))
    assert (view["status"], view["cost"]["max_cost_usd"]) == ("succeeded", 1.0)
    assert "succeeded" in said(capsys, "jobs", "show", "job-keeps")


def test_a_job_is_cancelled_and_a_failed_one_ends_with_exit_code_1(
    plane: ControlPlane, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "jobs", "submit", "--job-id", "job-long", "--", sys.executable, "-c", "import time; time.sleep(99)")
    wait_for(lambda: plane.client.job("job-long").job.status == "running", 30, "the job to run")
    assert "asked to stop" in said(capsys, "jobs", "cancel", "job-long")
    wait_for(lambda: plane.client.job("job-long").job.status == "cancelled", 30, "the job to end")
    said(capsys, "jobs", "submit", "--follow", "--", sys.executable, "-c", "raise SystemExit(3)", code=1)
    assert run(["jobs", "submit"]) == 2
    assert run(["jobs", "submit", "--env", "nonsense", "true"]) == 2
    assert run(["jobs", "submit", "--template", "nothing"]) == 2
    assert run(["jobs", "cancel", "job-none"]) == 1


def test_templates_are_listed_shown_and_run(plane: ControlPlane, capsys: pytest.CaptureFixture[str]) -> None:
    assert "gpu-check" in said(capsys, "templates", "list")
    assert json.loads(said(capsys, "templates", "show", "command"))["command"][0] == "python"
    made = json.loads(said(capsys, "jobs", "submit", "--json", "--template", "command", "--timeout-s", "50"))
    assert made["status"] == "queued"


def test_accelerators_and_what_providers_need_are_listed(
    plane: ControlPlane, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, "gpus")
    assert "RAY_API_SERVER_ADDRESS" in text
    assert {each["name"] for each in json.loads(said(capsys, "gpus", "--json"))["providers"]} >= {"local", "modal"}


def test_replicas_and_the_status_say_who_leads(
    planes: list[ControlPlane], plane: ControlPlane, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(said(capsys, "replicas", "--json"))
    urls = {each["url"]: each for each in found["replicas"]}
    first, second = (urls[each.url] for each in planes)
    assert (first["is_leader"], first["is_this"], first["is_alive"]) == (True, True, True)
    assert first["leads_since"] is not None
    assert (second["is_leader"], second["is_this"], second["is_alive"]) == (False, False, True)
    assert "leads since" in said(capsys, "replicas")
    assert "together" in said(capsys, "status")


def test_a_sandbox_is_used_through_the_control_plane_that_does_not_hold_it(planes: list[ControlPlane]) -> None:
    first, second = (httpx.Client(base_url=each.url, timeout=60, trust_env=False) for each in planes)
    with first, second:
        made = first.post("/api/sandboxes", json={"runtime": "python3"}).json()
        path = f"/api/sandboxes/{made['id']}"
        assert second.put(f"{path}/files/a/b.txt", content=b"\x00there").status_code == 200
        body = {"code": "print(open('a/b.txt', 'rb').read())"}
        assert second.post(f"{path}/exec", json=body).json()["stdout"] == "b'\\x00there'\n"
        with second.stream("POST", f"{path}/exec?stream=1", json={"code": "print('streamed')"}) as answer:
            lines = [json.loads(line) for line in answer.iter_lines()]
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        assert lines[-1]["type"] == "end", lines
        assert second.get(f"{path}/files/a/b.txt").content == b"\x00there"
        assert second.get(f"{path}/files/none").status_code == first.get(f"{path}/files/none").status_code == 404
        assert second.get(f"{path}/files").json() == first.get(f"{path}/files").json()
        once = second.get(f"{path}/files", headers={"x-skyscale-forwarded": "1"})
        assert (once.status_code, once.json()["code"]) == (503, "sandbox_elsewhere")
        assert "held by another control plane" in once.json()["detail"]
        assert second.delete(path).status_code == 204
        wait_for(lambda: first.post(f"{path}/exec", json=body).status_code == 410, 20, "its holder to hear of it")
