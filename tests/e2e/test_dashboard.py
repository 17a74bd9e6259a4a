"""Every query of the Grafana dashboard finds data: Prometheus scrapes a control plane during a short run."""

import json
import math
import shutil
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from skyscale.wire.runs import Algorithm, Evaluation, RunCreate, RunStatus
from tests.e2e.conftest import ControlPlane, free_port, wait_for

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        shutil.which("prometheus") is None, reason="prometheus is not installed (Debian package prometheus)"
    ),
]
DEPLOY = Path(__file__).parents[2] / "deploy" / "observability"
BOARD = DEPLOY / "grafana" / "dashboards" / "skyscale-rl-training.json"


class Prometheus:
    """A server of this test's own that scrapes one control plane every second and evaluates the shipped rules."""

    def __init__(self, folder: Path, target: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        shutil.copy(DEPLOY / "alerts.yml", folder)
        shipped = (DEPLOY / "prometheus.yml").read_text()
        config = shipped.replace("scrape_interval: 5s", "scrape_interval: 1s").replace("control-plane:8080", target)
        (folder / "prometheus.yml").write_text(config)
        command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
        command.append(f"--web.listen-address={self.url.removeprefix('http://')}")
        with (folder / "prometheus.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=10)

    def is_ready(self) -> bool:
        assert self.process.poll() is None, "Prometheus ended"
        try:
            return self.http.get("/-/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def num_values(self, query: str, since: float) -> int:
        """How many numbers the query gives from then to now; fails when Prometheus does not understand it."""
        parameters = {"query": query, "start": since, "end": time.time(), "step": 1}
        answer = self.http.post("/api/v1/query_range", data=parameters).json()
        assert answer["status"] == "success", f"{query}: {answer}"
        values = [float(value) for series in answer["data"]["result"] for _, value in series["values"]]
        return sum(map(math.isfinite, values))


@pytest.fixture
def prometheus(control_plane: ControlPlane, tmp_path: Path) -> Generator[Prometheus]:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    server = Prometheus(folder, control_plane.url.removeprefix("http://"))
    try:
        wait_for(server.is_ready, 60, "Prometheus to be ready")
        yield server
    finally:
        server.http.close()
        server.process.terminate()
        server.process.wait(20)


def queries(run_id: str) -> list[tuple[str, str]]:
    panels = json.loads(BOARD.read_text())["panels"]
    return [
        (panel["title"], target["expr"].replace("$run_id", run_id))
        for panel in panels
        for target in panel.get("targets", [])
    ]


def test_every_panel_of_the_dashboard_has_data(control_plane: ControlPlane, prometheus: Prometheus) -> None:
    since = time.time()
    request = RunCreate(
        max_steps=12,
        algorithm=Algorithm(groups_per_step=4),
        evaluation=Evaluation(num_problems=4, samples_per_problem=2),
    )
    run_id = control_plane.client.create_run(request).run_id
    view = control_plane.wait_for_end(run_id, 150)
    assert view.status is RunStatus.COMPLETED, control_plane.story(run_id)
    ended = f'skyscale_rl_run_active{{run_id="{run_id}"}} == 0'
    wait_for(lambda: prometheus.num_values(ended, since) > 0, 20, "the end of the run to be scraped")
    empty = [(title, query) for title, query in queries(run_id) if prometheus.num_values(query, since) == 0]
    assert not empty
    assert prometheus.num_values('skyscale_rl_policy_version{run_id="nobody"}', since) == 0
    firing = prometheus.http.get("/api/v1/alerts").json()["data"]["alerts"]
    assert not [alert for alert in firing if alert["state"] == "firing"]
