"""Runs that end for their price or their idleness: real control plane, real processes, made-up tokens."""

import sys
from pathlib import Path

import pytest

from skyscale.settings import Settings
from skyscale.wire.jobs import JobRole
from tests.service.test_run_life import COMMANDS, SMALL, control_plane, kinds, until

LAZY = COMMANDS | {JobRole.WORKER: (sys.executable, "-c", "import time; time.sleep(100)")}
"""A worker that plays nothing."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data", heartbeat_s=0.2, reconcile_s=0.05, prices='{"local": {"cpu": 3600, "t4": 0.1}}'
    )


async def test_idle_accelerators_are_given_back_in_good_order(settings: Settings) -> None:
    body = SMALL | {"gpu_model": "t4", "idle_minutes": 0.03, "evaluation": {"num_problems": 0}}
    async with control_plane(settings, LAZY) as http:
        assert (await http.post("/api/rl/runs", json=body)).status_code == 202
        view = await until(http, "rl-life", lambda view: view["status"] in {"stopping", "completed", "failed"})
        assert "idle" in view["reason"] and "idle_minutes" in view["reason"]

        view = await until(http, "rl-life", lambda view: not {"policy", "trainer"} & _alive(view))
        assert view["cost"]["gpu_s"] > 0
        told = await kinds(http, "rl-life")
        assert told.index("run.finishing") < told.index("run.stopping")


async def test_a_run_that_cannot_end_in_good_order_is_ended_before_its_cap(settings: Settings) -> None:
    """Its evaluation is never played, so finishing takes for ever; three processes cost three dollars a second."""
    cap = 80.0
    async with control_plane(settings, LAZY) as http:
        assert (await http.post("/api/rl/runs", json=SMALL | {"max_cost_usd": cap})).status_code == 202
        view = await until(http, "rl-life", lambda view: view["status"] in {"completed", "failed"})
        assert view["status"] == "completed" and "max_cost_usd" in view["reason"]
        assert not _alive(view)
        view = await until(http, "rl-life", lambda view: view["cost"]["usd_per_hour"] == 0)
        assert 0.25 * cap < view["cost"]["usd"] <= cap
        told = await kinds(http, "rl-life")
        assert told.index("run.finishing") < told.index("run.stopping")


def _alive(view: dict[str, list[dict[str, str]]]) -> set[str]:
    return {p["role"] for p in view["processes"] if p["status"] in {"starting", "running"}}
