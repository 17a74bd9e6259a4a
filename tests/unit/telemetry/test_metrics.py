"""What is scraped: names, labels, the end of a run's series, and the page that documents them."""

import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from skyscale.policy.engine import EngineStats
from skyscale.policy.server_metrics import metrics_text
from skyscale.telemetry.described import Bounded
from skyscale.telemetry.metrics import LINGER_S, Metrics
from skyscale.wire.batches import BufferStats
from skyscale.wire.episodes import Outcome
from skyscale.wire.jobs import JobRole, JobStatus
from tests.scripts import load_script

ROOT = Path(__file__).parents[3]
NAME = re.compile(r"skyscale_(training|rl|job|sandbox|policy|http|function|service)_[a-z0-9_]+")


def used(metrics: Metrics) -> Metrics:
    """With one series of everything that a run shows."""
    metrics.note_run("rl-one", "async", 3, is_served=True)
    metrics.note_buffer(
        BufferStats(
            run_id="rl-one",
            size=5,
            leased=4,
            consumed=3,
            flat=2,
            stale=1,
            failed=0,
            groups_in_play=7,
            slots=8,
            pushed=15,
        )
    )
    metrics.note_jobs({(JobRole.WORKER, JobStatus.RUNNING): 2})
    metrics.judged([Outcome.INFRASTRUCTURE_FAILURE, Outcome.INFRASTRUCTURE_FAILURE], 0.2)
    metrics.reported.trained("rl-one", {"step_s": 0.5, "entropy": float("nan"), "unheard_of": 1.0})
    metrics.reported.heard("rl-one", JobRole.POLICY, "job-policy-one-0", {"tokens_per_s": 99.0})
    metrics.reported.heard("rl-one", JobRole.WORKER, "job-worker-one-12", {"trajectories_per_s": 2.5})
    metrics.rl_trajectories_pushed.labels("rl-one").inc(15)
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_every_metric_is_in_the_scheme_described_and_has_bounded_labels() -> None:
    for metric in Metrics().shelf.all:
        assert NAME.fullmatch(metric.name), metric.name
        assert metric.text and metric.estimator, metric.name
        assert metric.kind != "histogram" or "run_id" not in metric.labels, metric.name
        assert not {"job_id", "group_id", "sandbox_id", "problem_id"} & set(metric.labels), metric.name


def test_what_processes_report_is_shown() -> None:
    metrics = used(Metrics())
    assert value(metrics, "skyscale_training_step_seconds", run_id="rl-one") == 0.5
    assert value(metrics, "skyscale_training_entropy_nats", run_id="rl-one") is None
    assert value(metrics, "skyscale_policy_tokens_per_second", run_id="rl-one") == 99
    assert value(metrics, "skyscale_rl_worker_trajectories_per_second", run_id="rl-one", worker="12") == 2.5
    assert value(metrics, "skyscale_rl_buffer_trajectories", run_id="rl-one", state="flat") == 2
    assert value(metrics, "skyscale_sandbox_failures_total") == 2
    assert value(metrics, "skyscale_job_live", role="worker", status="running") == 2
    assert value(metrics, "skyscale_job_live", role="trainer", status="running") == 0


def test_series_of_a_run_outlive_it_until_they_are_scraped_and_then_go() -> None:
    now = 1000.0
    metrics = used(Metrics(lambda: now))
    metrics.end_run("rl-one", "async", "completed")
    assert b'skyscale_rl_run_active{mode="async",run_id="rl-one"} 0.0' in metrics.exposition()
    now += LINGER_S + 1
    assert b"rl-one" not in metrics.exposition()
    assert value(metrics, "skyscale_rl_runs_ended_total", status="completed") == 1


def test_labels_that_callers_choose_are_bounded() -> None:
    label = Bounded(most=2)
    assert [label(name) for name in ("a", "b", "c", "a")] == ["a", "b", "other", "a"]


def test_the_reference_page_is_what_the_code_says() -> None:
    page = load_script("metrics_reference").page()
    assert (ROOT / "docs" / "metrics.md").read_text() == page, "run: python scripts/metrics_reference.py"


def test_the_trainers_numbers_are_ones_that_it_reports() -> None:
    from skyscale.telemetry.reported import TRAINER

    page = (ROOT / "docs" / "metrics-training.md").read_text()
    assert not [key for key, *_ in TRAINER if f"`{key}`" not in page]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian package prometheus)")
@pytest.mark.parametrize("server", ["control plane", "policy server"])
def test_promtool_finds_nothing_to_complain_about(server: str) -> None:
    numbers = EngineStats(**{field.name: 1 for field in fields(EngineStats)})
    text = used(Metrics()).exposition() if server == "control plane" else metrics_text(numbers).encode()
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=30)
    assert checked.returncode == 0, (checked.stdout + checked.stderr).decode()
    assert not checked.stderr, checked.stderr.decode()
