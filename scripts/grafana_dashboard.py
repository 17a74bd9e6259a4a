"""Write the Grafana dashboard of training runs; a test runs every query of it against a real Prometheus."""

import json
from pathlib import Path
from typing import Any

UID = "skyscale-rl-training"
TARGET = Path("deploy/observability/grafana/dashboards/skyscale-rl-training.json")
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
RUN = 'run_id=~"$run_id"'
JUDGING = "rate(skyscale_sandbox_judge_duration_seconds_bucket[1m])"
Panel = tuple[str, str, tuple[tuple[str, str], ...]]
"""Title, Grafana's unit, and (query, legend) pairs."""


def of_run(metric: str, title: str, unit: str = "short", legend: str = "{{run_id}}") -> Panel:
    """A panel that shows one gauge of the chosen runs."""
    return title, unit, ((f"skyscale_{metric}{{{RUN}}}", legend),)


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    ("Learning", (
        of_run("training_episode_reward", "Reward of training batches", "none"),
        of_run("rl_evaluation_reward", "Reward on held-out problems", "none"),
        of_run("training_loss", "Loss", "none"),
        of_run("training_entropy_nats", "Entropy per token (nats)", "none"),
        of_run("training_mismatch_kl_nats", "Divergence of engine and trainer (nats)", "none"),
        of_run("training_grad_norm", "Gradient norm", "none"),
    )),
    ("Speed", (
        of_run("rl_policy_version", "Policy version", "none"),
        ("Versions per minute", "none", ((f"60 * rate(skyscale_rl_policy_version{{{RUN}}}[1m])", "{{run_id}}"),)),
        of_run("training_step_seconds", "Step time", "s"),
        of_run("training_wait_share", "Trainer waiting for rollouts", "percentunit"),
        of_run("policy_tokens_per_second", "Tokens sampled per second", "none"),
        ("Episodes per second", "none", (
            (f"sum by (run_id) (skyscale_rl_worker_trajectories_per_second{{{RUN}}})", "{{run_id}}"),
        )),
    )),
    ("Rollouts and buffer", (
        of_run("rl_buffer_size", "Trajectories waiting"),
        of_run("rl_buffer_trajectories", "What became of trajectories", legend="{{run_id}} {{state}}"),
        ("Pushed and handed out per second", "none", (
            (f"rate(skyscale_rl_trajectories_pushed_total{{{RUN}}}[1m])", "{{run_id}} pushed"),
            (f"rate(skyscale_rl_trajectories_sampled_total{{{RUN}}}[1m])", "{{run_id}} handed out"),
        )),
        of_run("training_staleness_versions", "Staleness (versions)", "none"),
        ("Policy server: batch and queue", "none", (
            (f"skyscale_policy_batch_size{{{RUN}}}", "{{run_id}} decoding"),
            (f"skyscale_policy_queue_length{{{RUN}}}", "{{run_id}} waiting"),
        )),
        of_run("policy_up", "Policy server healthy", "none"),
    )),
    ("Sandboxes, jobs and HTTP", (
        ("Programs judged per second", "none", (
            ("sum by (outcome) (rate(skyscale_sandbox_judgements_total[1m]))", "{{outcome}}"),
        )),
        ("Time to judge (p50, p95)", "s", tuple(
            (f"histogram_quantile({q}, sum by (le) ({JUDGING}))", f"p{p}")
            for q, p in ((0.5, 50), (0.95, 95))
        )),
        ("Warm sandboxes, failures per minute", "none", (
            ("skyscale_sandbox_pool_size", "warm"),
            ("60 * rate(skyscale_sandbox_failures_total[1m])", "failures"),
        )),
        ("Live jobs", "none", (("sum by (role, status) (skyscale_job_live) > 0", "{{role}} {{status}}"),)),
        ("Job starts", "none", (("sum by (role, status) (skyscale_job_dispatch_total)", "{{role}} {{status}}"),)),
        ("Requests per second", "none", (
            ("sum by (status) (rate(skyscale_http_requests_total[1m]))", "{{status}}"),
        )),
        ("Request latency (p95 by route)", "s", (
            ("histogram_quantile(0.95, sum by (le, route) "
             "(rate(skyscale_http_request_duration_seconds_bucket[1m])))", "{{route}}"),
        )),
    )),
)  # fmt: skip


def panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    """A time series."""
    title, unit, queries = panel
    targets = [
        {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": query, "legendFormat": legend}
        for index, (query, legend) in enumerate(queries)
    ]
    return {
        "id": number, "type": "timeseries", "title": title, "datasource": DATASOURCE, "gridPos": place,
        "targets": targets, "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    }  # fmt: skip


def panels() -> list[dict[str, Any]]:
    """Rows of three."""
    made: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        place = {"x": 0, "y": y, "w": 24, "h": 1}
        made.append(
            {"id": len(made) + 1, "type": "row", "title": title, "gridPos": place, "collapsed": False, "panels": []}
        )
        y += 1
        for index, each in enumerate(row):
            place = {"x": 8 * (index % 3), "y": y + 8 * (index // 3), "w": 8, "h": 8}
            made.append(panel(len(made) + 1, each, place))
        y += 8 * ((len(row) + 2) // 3)
    return made


def dashboard() -> dict[str, Any]:
    """The whole board."""
    variable = {
        "name": "run_id", "label": "Run", "type": "query", "datasource": DATASOURCE,
        "query": {"query": "label_values(skyscale_rl_policy_version, run_id)", "refId": "run_id"},
        "definition": "label_values(skyscale_rl_policy_version, run_id)",
        "refresh": 2, "sort": 2, "multi": True, "includeAll": True, "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }  # fmt: skip
    return {
        "uid": UID, "title": "Skyscale: training runs", "tags": ["skyscale"], "schemaVersion": 39, "version": 1,
        "editable": True, "timezone": "browser", "refresh": "5s", "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [variable]}, "annotations": {"list": []}, "panels": panels(),
    }  # fmt: skip


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
