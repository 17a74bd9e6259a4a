"""The logger's sinks, for real: what they write is read back from their own files."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from skyscale.errors import Invalid
from skyscale.logger.numbers import Progress, news
from skyscale.logger.sink import Place, load_sink
from skyscale.wire.base import utc_now
from skyscale.wire.runs import EvaluationResult, MetricsPoint, PassAtK
from tests.service.buffer_bench import spec
from tests.unit.cli.test_live import view

NOW = utc_now()


def point(step: int, **metrics: float) -> MetricsPoint:
    return MetricsPoint(
        step=step, episode_reward=step / 10, loss=None, gpu_util=None, timestamp=1000 * step, metrics=metrics
    )


def evaluation(version: int) -> EvaluationResult:
    passes = [PassAtK(k=1, value=0.5, low=0.4, high=0.6, num_problems=4)]
    return EvaluationResult(
        version=version, reward=0.6, num_problems=4, num_episodes=16, finished_at=NOW, pass_at=passes
    )


def test_each_number_is_told_once_and_an_evaluation_may_come_late() -> None:
    progress = Progress()
    first = view().model_copy(update={"metrics": [point(1, entropy=2.0), point(2)], "evaluations": [evaluation(0)]})
    told = list(news(first, progress))
    assert [(each.step, sorted(each.values)) for each in told[:2]] == [
        (1, ["train/entropy", "train/episode_reward"]), (2, ["train/episode_reward"])
    ]  # fmt: skip
    assert told[2].step == 0 and told[2].values["eval/pass@1"] == 0.5 and told[2].values["eval/pass@1/high"] == 0.6
    later = first.model_copy(update={"metrics": [point(2), point(3)], "evaluations": [evaluation(0), evaluation(2)]})
    assert [each.step for each in news(later, progress)] == [3, 2]
    assert list(news(later, progress)) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_reads_back_what_was_logged(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for values in ({"train/loss": 0.5, "eval/pass@1": 0.25}, {"train/loss": 0.25}):  # a restart adds a file
        sink = load_sink("tensorboard", Place(spec(), tmp_path))
        sink.scalars(7 if len(values) == 2 else 8, 123.5, values)
        assert str(tmp_path) in sink.where()
        sink.close()
    read: Any = EventAccumulator(str(tmp_path))
    read.Reload()
    assert [(event.step, event.wall_time, event.value) for event in read.Scalars("train/loss")] == [
        (7, 123.5, 0.5), (8, 123.5, 0.25),
    ]  # fmt: skip
    assert [event.value for event in read.Scalars("eval/pass@1")] == [0.25]


def test_wandb_offline_reads_back_what_was_logged(tmp_path: Path) -> None:
    """In a process of its own, as in the product: the library leaves threads and a service behind."""
    script = f"""
from pathlib import Path
from skyscale.logger.sink import Place, load_sink
from tests.service.buffer_bench import spec
sink = load_sink("wandb", Place(spec(), Path({str(tmp_path)!r})))
sink.scalars(8, 2.0, {{"train/loss": 0.25}})
sink.scalars(3, 1.0, {{"eval/pass@1": 0.5}})
print(sink.where())
sink.close()
"""
    root = Path(__file__).parents[2]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    environment |= {"PYTHONPATH": f"{root / 'src'}:{root}", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "wandb sync" in done.stdout
    (file,) = tmp_path.glob("wandb/offline-run-*/run-rl-test.wandb")
    config, rows = read_wandb(file)
    assert config["base_model"] == '"skyscale/starter"'
    assert [(row["policy_version"], row.get("train/loss"), row.get("eval/pass@1")) for row in rows] == [
        ("8", "0.25", None), ("3", None, "0.5"),
    ]  # fmt: skip


def read_wandb(file: Path) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The configuration and the rows of a W&B run file, as JSON texts."""
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    store: Any = DataStore()
    store.open_for_scan(str(file))
    config: dict[str, str] = {}
    rows: list[dict[str, str]] = []
    while (data := store.scan_data()) is not None:
        record: Any = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "run":
            config |= {item.key: item.value_json for item in record.run.config.update}
        if record.WhichOneof("record_type") == "history":
            rows.append({item.key or "/".join(item.nested_key): item.value_json for item in record.history.item})
    store.close()
    return config, rows


def test_an_unknown_sink_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="nowhere"):
        load_sink("nowhere", Place(spec(), tmp_path))
