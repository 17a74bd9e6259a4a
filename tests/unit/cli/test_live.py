"""What the live view and the demo's report make of a run."""

from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from skyscale.cli.demo_report import result_of, telling_pair
from skyscale.cli.live.screen import screen
from skyscale.cli.live.snapshot import Snapshot, clock, progress
from skyscale.cli.live.sparkline import sparkline
from skyscale.cli.live.watch import plain_line
from skyscale.wire.batches import BufferStats
from skyscale.wire.episodes import EvaluationSample
from skyscale.wire.runs import (
    Algorithm,
    Evaluation,
    EvaluationResult,
    Event,
    MetricsPoint,
    ProcessHealth,
    RunSpec,
    RunView,
    Sampling,
)

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def view(**changes: object) -> RunView:
    spec = RunSpec(
        run_id="rl-1", base_model="skyscale/starter", num_workers=1, gpu_model="cpu", provider="local",
        problem_set="embedded", difficulty=None, algorithm=Algorithm(), sampling=Sampling(), evaluation=Evaluation(),
        mode="async", seed=0, max_steps=None, max_hours=200 / 3600, target_reward=None, max_concurrent_groups=3,
        checkpoint_every=1, keep_versions=3,
    )  # fmt: skip
    policy = ProcessHealth(
        id="job-1", role="policy", index=0, status="running", detail="serving version 7", attempt=2,
        heartbeat_age_s=0.5, metrics={"tokens_per_s": 8123.0, "idle_share": 0.03, "total_idle_share": 0.05},
    )  # fmt: skip
    points = [
        MetricsPoint(
            step=step, episode_reward=step / 10, loss=0.5, gpu_util=None,
            timestamp=int(NOW.timestamp() * 1000), metrics={"staleness": 1.2, "wait_share": 0.08},
        )
        for step in range(1, 8)
    ]  # fmt: skip
    evaluations = [
        EvaluationResult(version=version, reward=reward, num_problems=64, num_episodes=256, finished_at=NOW)
        for version, reward in ((0, 0.342), (7, 0.86))
    ]
    whole = RunView(
        run_id="rl-1", status="running", stage="training", reason=None, spec=spec, trainer_status="running",
        worker_statuses=[], processes=[policy], policy_status="ready", policy_version=7, serving_version=6,
        buffer_size=64, trajectories=1000, metrics=points, evaluations=evaluations, event_count=1,
        checkpoint="file:///data/my%20runs/v7", grafana_url=None, created_at=NOW - timedelta(seconds=120),
        rollouts_started_at=NOW - timedelta(seconds=100), ended_at=None,
    )  # fmt: skip
    return whole.model_copy(update=changes)


STATS = BufferStats(
    run_id="rl-1", size=64, leased=128, consumed=0, flat=0, stale=0, failed=0, groups_in_play=24, slots=96, pushed=1
)
EVENT = Event(
    seq=1, timestamp=NOW, run_id="rl-1", component="trainer", level="info", kind="policy.published",
    message="published version 7 [not markup]", data={},
)  # fmt: skip


def test_the_screen_shows_every_number_a_watcher_needs():
    console = Console(width=110, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(screen(Snapshot(view(), STATS, [EVENT], NOW)))
        text = console.export_text()
    for shown in (
        "rl-1", "running", "training", "1:40 of 3:20", "0.10 → 0.70", "v0 0.342", "v7 0.860", "7 (serving 6)", "1,000",
        "64 waiting, 128 leased", "24 in play, 96 slots", "8,123", "1.2", "8%", "3%", "policy-0", "serving version 7",
        "start 2", "published version 7 [not markup]",
    ):  # fmt: skip
        assert shown in text


def test_the_screen_of_a_run_without_any_news_is_drawn_too():
    empty = view(
        metrics=[], evaluations=[], processes=[], stage=None, rollouts_started_at=None, status="failed", reason="no [x]"
    )
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(screen(Snapshot(empty, None, [], NOW)))
        assert "no [x]" in console.export_text()


def test_the_screen_fits_a_small_terminal():
    events = [EVENT.model_copy(update={"seq": seq, "message": f"news {seq}"}) for seq in range(9)]
    console = Console(width=110, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(screen(Snapshot(view(), STATS, events, NOW), height=20))
        text = console.export_text()
    assert len(text.splitlines()) <= 20
    assert "news 8" in text
    assert "news 6" not in text


def test_a_run_on_one_line():
    line = plain_line(Snapshot(view(), STATS, [], NOW))
    assert line == "running (training)  version 7  50%  reward 0.700  held-out 0.860  buffer 64"


def test_the_trainers_share_of_waiting_is_that_of_the_whole_run_and_not_of_its_last_step():
    steps = [
        MetricsPoint(
            step=step, episode_reward=0.5, loss=0.5, gpu_util=None, timestamp=ended_ms, metrics={"wait_share": share}
        )
        for step, ended_ms, share in ((1, 1000, 1.0), (2, 4000, 0.5), (3, 5000, 0.9))
    ]  # fmt: skip
    assert result_of(view(metrics=steps))["trainer_wait_share"] == pytest.approx((3 * 0.5 + 0.9) / 4)


@pytest.mark.parametrize(
    ("values", "width", "curve"),
    [
        ([], 5, ""),
        ([0.0, 0.5, 1.0], 5, "▁▅█"),
        ([0.0, 0.0, 1.0, 1.0], 2, "▁█"),
        ([-3.0, 7.0], 2, "▁█"),
    ],
)
def test_sparkline_table(values: list[float], width: int, curve: str):
    assert sparkline(values, width) == curve


def test_progress_is_of_the_budget_that_is_used_up_first():
    spec = view().spec.model_copy(update={"max_steps": 8})
    assert progress(view(spec=spec), NOW) == (7 / 8, "version 7 of 8")
    assert progress(view(), NOW + timedelta(hours=1)) == (1.0, "3:20 of 3:20")
    assert progress(view(spec=spec.model_copy(update={"max_steps": None, "max_hours": None})), NOW) is None
    assert clock(3725) == "1:02:05"


def test_the_result_has_the_promised_keys_and_a_path_that_transformers_can_load():
    result = result_of(view(status="completed", ended_at=NOW))
    expected = {
        "reward_before": 0.342, "reward_after": 0.86, "run_seconds": 120.0, "policy_versions": 7, "trajectories": 1000,
        "run_id": "rl-1", "checkpoint": "/data/my runs/v7", "trainer_wait_share": 0.08, "policy_idle_share": 0.05,
        "samples_per_s": 10.0, "serving_version": 6,
    }  # fmt: skip
    assert {key: result[key] for key in expected} == expected


def test_the_telling_pair_is_typical_of_the_problem_that_improved_most():
    def samples(problem_id: str, *rewards: float) -> list[EvaluationSample]:
        return [EvaluationSample(problem_id=problem_id, text=f"{r}", code="", reward=r) for r in rewards]

    before = [*samples("a", 0.0, 1.0), *samples("b", 0.0, 0.0, 0.25), *samples("only-before", 0.0)]
    after = [*samples("a", 1.0, 1.0), *samples("b", 1.0, 0.9, 0.0, 1.0)]
    pair = telling_pair(before, after)
    assert pair is not None
    assert [each.problem_id for each in pair] == ["b", "b"]
    assert [each.reward for each in pair] == [0.0, 0.9]
    assert telling_pair(before, []) is None
