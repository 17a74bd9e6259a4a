"""Real runs with a price: the cap ends one in good order, a checkpoint behind it, before the money is gone."""

import json
from collections.abc import Generator
from pathlib import Path

import pytest

from skyscale.wire.runs import Evaluation, RunCreate, RunStatus
from tests.e2e.conftest import ControlPlane, wait_for

pytestmark = pytest.mark.timeout(240)
PER_HOUR = 360.0
"""What a core costs: three processes cost 30 cents a second."""


@pytest.fixture
def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[ControlPlane]:
    monkeypatch.setenv("SKYSCALE_PRICES", json.dumps({"local": {"cpu": PER_HOUR}}))
    plane = ControlPlane(tmp_path)
    plane.start()
    yield plane
    plane.stop()
    wait_for(lambda: not plane.everything(), 15, "all job processes to end")


def test_a_cap_ends_a_run_with_a_checkpoint_before_it_is_reached(plane: ControlPlane, tmp_path: Path) -> None:
    cap = 24.0
    request = RunCreate(max_cost_usd=cap, evaluation=Evaluation(num_problems=4, samples_per_problem=2))
    estimate = plane.client.create_run(request.model_copy(update={"dry_run": True})).estimate
    assert estimate is not None and estimate.usd_per_hour == 3 * PER_HOUR and estimate.usd == cap

    run_id = plane.client.create_run(request).run_id
    seen: list[float] = []

    def has_ended() -> bool:
        view = plane.client.get_run(run_id)
        assert view.cost is not None
        seen.append(view.cost.usd)
        return view.ended_at is not None

    wait_for(has_ended, 180, "the cap to end the run")
    view = plane.client.get_run(run_id)
    assert view.status == RunStatus.COMPLETED, plane.story(run_id)
    assert "max_cost_usd" in (view.reason or "")
    assert view.policy_version >= 1, plane.story(run_id)
    checkpoints = tmp_path / "artifacts" / "runs" / run_id / "checkpoints"
    assert (checkpoints / f"v{view.policy_version:06d}" / "checkpoint.json").is_file()

    def bills() -> list[dict[str, object]]:
        events = plane.client.events(run_id, limit=500).events
        return [event.data for event in events if event.kind == "cost.total"]

    wait_for(lambda: len(bills()) == 1, 10, "the bill")
    view = plane.client.get_run(run_id)
    assert view.cost is not None
    assert seen == sorted(seen), "the meter went down"
    assert 0.4 * cap < view.cost.usd <= cap
    assert view.cost.usd_per_hour == 0.0
    assert view.cost.tokens > 0 and view.cost.sandbox_s > 0 and view.cost.cpu_s > 0 and view.cost.gpu_s == 0
    assert view.cost.usd == pytest.approx(view.cost.cpu_s * PER_HOUR / 3600, rel=1e-6)
