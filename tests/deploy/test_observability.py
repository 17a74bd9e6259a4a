"""The observability files are whole: generated ones as generated, the others as their own tools read them."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from skyscale.settings import Settings
from skyscale.telemetry.metrics import Metrics
from tests.scripts import load_script

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "observability"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian package prometheus)"
)


def board() -> dict[str, object]:
    return json.loads((FOLDER / "grafana/dashboards/skyscale-rl-training.json").read_text())


def test_the_dashboard_is_what_its_script_writes() -> None:
    written = json.loads(load_script("grafana_dashboard").text())
    assert board() == written, "run: python scripts/grafana_dashboard.py"


def test_links_in_run_replies_lead_to_the_dashboard(tmp_path: Path) -> None:
    assert board()["uid"] == Settings(data_dir=tmp_path).grafana_dashboard_uid
    datasource = (FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text()
    text = json.dumps(board())
    assert set(re.findall(r'"type": "prometheus", "uid": "([^"]*)"', text)) == {"prometheus"}
    assert "uid: prometheus" in datasource
    assert '"name": "run_id"' in text


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = load_script("grafana_dashboard").panels()
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)


@pytest.mark.parametrize("name", ["alerts.yml", "grafana/dashboards/skyscale-rl-training.json"])
def test_only_metrics_that_exist_are_asked_for(name: str) -> None:
    known = {metric.name for metric in Metrics().shelf.all}
    asked = set(re.findall(r"skyscale_[a-z0-9_]+", (FOLDER / name).read_text()))
    assert asked and not {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in asked} - known


@needs_promtool
@pytest.mark.parametrize("command", ["check config prometheus.yml", "test rules alerts_test.yml"])
def test_promtool_agrees(command: str) -> None:
    done = subprocess.run(["promtool", *command.split()], cwd=FOLDER, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test() -> None:
    alerts = re.findall(r"- alert: (\w+)", (FOLDER / "alerts.yml").read_text())
    tested = (FOLDER / "alerts_test.yml").read_text()
    assert alerts and not [alert for alert in alerts if f"alertname: {alert}" not in tested]


@pytest.mark.skipif(shutil.which("caddy") is None, reason="caddy is not installed (Debian package caddy)")
def test_caddy_understands_its_file(tmp_path: Path) -> None:
    environment = os.environ | {"SKYSCALE_DOMAIN": "skyscale.example", "HOME": str(tmp_path)}
    command = ["caddy", "validate", "--adapter", "caddyfile", "--config", str(FOLDER / "Caddyfile")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
