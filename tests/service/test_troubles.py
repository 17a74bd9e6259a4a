"""Too much trouble in a run's own environment ends the run, with the reason; a little does not."""

import sys
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from skyscale.api.app import create_app
from skyscale.api.services import Services, build, running
from skyscale.episodes.troubles import EVENT_EVERY_S, FATAL_GROUPS, FATAL_S, Troubles
from skyscale.settings import Settings
from skyscale.store.tables.buffer import buffer_groups
from skyscale.wire.base import utc_now
from skyscale.wire.jobs import JobRole
from skyscale.wire.runs import RunStatus
from tests.service.buffer_bench import spec

RUN = "rl-trouble"
SLEEPS = dict.fromkeys(JobRole, (sys.executable, "-c", "import time; time.sleep(60)"))


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncGenerator[Services]:
    services = build(Settings(data_dir=tmp_path, reconcile_s=30.0), SLEEPS)
    async with running(services):
        yield services


async def test_trouble_is_told_now_and_then_with_how_often(parts: Services) -> None:
    async with parts.database.write() as connection:
        await parts.buffer.open(connection, spec(run_id=RUN))
    now = [0.0]
    troubles = Troubles(parts.database, parts.events, lambda: now[0], parts.buffer.give_up)
    for second in range(3 * int(EVENT_EVERY_S)):
        now[0] = float(second)
        await troubles.note(RUN, f"grp-{second}", "it broke", 2, is_whole=True)
    messages = [event.message for event in await parts.events.list(RUN)]
    assert messages == [f"{n} episode(s) could not be judged and are dropped: it broke" for n in (2, 20, 20)]


async def test_only_much_and_long_trouble_in_a_row_is_fatal(parts: Services) -> None:
    async with parts.database.write() as connection:
        await parts.buffer.open(connection, spec(run_id=RUN))
    now = [0.0]
    troubles = Troubles(parts.database, parts.events, lambda: now[0], parts.buffer.give_up)

    async def fail(times: int, *, is_whole: bool = True) -> None:
        for _ in range(times):
            await troubles.note(RUN, "grp-1", "it broke", 2, is_whole=is_whole)

    await fail(FATAL_GROUPS)
    assert await parts.turns.fatal(RUN) is None, "not for long enough"
    troubles.fine(RUN)
    await fail(FATAL_GROUPS - 1)
    now[0] = 3 * FATAL_S
    await fail(100, is_whole=False)
    assert await parts.turns.fatal(RUN) is None, "not often enough"
    await fail(1)
    assert "it broke" in (await parts.turns.fatal(RUN) or "")
    assert await parts.turns.fatal("rl-other") is None


async def test_trouble_of_one_control_plane_is_not_fatal_while_another_has_good_groups(parts: Services) -> None:
    async with parts.database.write() as connection:
        await parts.buffer.open(connection, spec(run_id=RUN))
        long_ago, good = utc_now() - timedelta(hours=1), utc_now()
        values = {"run_id": RUN, "sequence": 0, "purpose": "train", "problem_id": "p", "version": 0, "seed": 0}
        values |= {"group_id": "grp-good", "state": "waiting", "dropped": 0, "reward_sum": 1.0, "kept": 2}
        await connection.execute(buffer_groups.insert().values(**values, pushed_at=good))
    await parts.buffer.give_up(RUN, "only here it broke", long_ago)
    assert await parts.turns.fatal(RUN) is None
    await parts.buffer.give_up(RUN, "it broke everywhere", good)
    assert await parts.turns.fatal(RUN) == "it broke everywhere"


async def test_a_run_whose_environment_is_broken_for_good_fails_with_the_reason(
    parts: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    http = httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(parts.settings, parts)), base_url="http://127.0.0.1"
    )
    created = await http.post("/api/rl/runs", json={"run_id": RUN})
    assert created.status_code == 202, created.text
    monkeypatch.setattr("skyscale.episodes.troubles.FATAL_S", 0.0)
    for _ in range(FATAL_GROUPS):
        await parts.turns._troubles.note(RUN, "grp-1", "KeyError: 'x' (reward.py, line 3)", 8, is_whole=True)  # pyright: ignore[reportPrivateUsage]
    await parts.reconcilers.coordinator.reconcile_all()
    view = (await http.get(f"/api/rl/runs/{RUN}")).json()
    assert view["status"] in (RunStatus.STOPPING, RunStatus.FAILED)
    assert "reward.py, line 3" in view["reason"]
    await http.aclose()
