"""The meters of runs: ticks, restarts, jumping clocks, two control planes, caps; on both databases."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import insert, update

from skyscale.api.app import create_app
from skyscale.api.services import Services, build
from skyscale.money.meter import Meter
from skyscale.money.prices import Prices
from skyscale.settings import Settings
from skyscale.store.migrate import upgrade
from skyscale.store.tables.jobs import jobs
from skyscale.store.tables.runs import runs
from skyscale.telemetry.metrics import Metrics

RUN = "rl-dear"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PRICES = Prices({"local": {"cpu": 3600.0, "sandbox": 36.0}})
"""A core costs a dollar a second, a sandbox a cent."""


class Clocks:
    """A wall clock that can be set, and one that only goes forward."""

    def __init__(self) -> None:
        self.wall, self.steady = NOON, 0.0

    def go(self, seconds: float) -> None:
        """Time passes."""
        self.wall += timedelta(seconds=seconds)
        self.steady += seconds


@pytest.fixture
async def parts(settings: Settings) -> AsyncGenerator[Services]:
    """The parts without their reconcilers, so that nothing moves by itself."""
    services = build(settings.model_copy(update={"prices": '{"local": {"cpu": 3600, "sandbox": 36}}'}))
    await upgrade(services.database)
    yield services
    await services.http.aclose()
    await services.database.close()


@pytest.fixture
def app(settings: Settings, parts: Services) -> FastAPI:
    return create_app(settings, parts)


def meter_of(parts: Services, clocks: Clocks) -> Meter:
    return Meter(
        parts.database, parts.events, Metrics(), PRICES, clock=lambda: clocks.wall, steady=lambda: clocks.steady
    )


async def begin(client: httpx.AsyncClient, parts: Services, clocks: Clocks, **changes: object) -> None:
    """A run whose meter begins at noon and whose worker has run since then."""
    answer = await client.post("/api/rl/runs", json={"run_id": RUN, **changes})
    assert answer.status_code == 202, answer.text
    row = {
        "job_id": "job-worker-dear-0", "run_id": RUN, "role": "worker", "index": 0, "provider": "local",
        "gpu_model": "cpu", "max_attempts": 5, "desired": "run", "held": False, "status": "running", "attempt": 1,
        "due_at": NOON, "created_at": NOON, "started_at": NOON, "metrics": {"generated_tokens": 40.0},
    }  # fmt: skip
    async with parts.database.write() as connection:
        await connection.execute(insert(jobs).values(**row))
    first = meter_of(parts, clocks)
    clocks.wall = NOON - timedelta(seconds=1)
    await first.tick()  # the run was created by the true clock: from here on it is ours
    await change(parts, metered_at=NOON, gpu_s=0.0, cpu_s=0.0, usd=0.0, tokens=0, counters={})
    clocks.wall = NOON


async def change(parts: Services, **values: object) -> None:
    from skyscale.money import queries

    async with parts.database.write() as connection:
        await queries.change(connection, RUN, values)


async def cost(client: httpx.AsyncClient) -> dict[str, float]:
    return (await client.get(f"/api/rl/runs/{RUN}")).json()["cost"]


async def test_a_run_is_metered_from_its_creation_and_shows_it_everywhere(
    client: httpx.AsyncClient, parts: Services
) -> None:
    clocks = Clocks()
    await begin(client, parts, clocks)
    meter = meter_of(parts, clocks)
    meter.sandboxes.add(RUN, 2.0)
    clocks.go(3)
    await meter.tick()
    now = await cost(client)
    assert (now["cpu_s"], now["gpu_s"], now["sandbox_s"], now["tokens"]) == (3.0, 0.0, 2.0, 40)
    assert now["usd"] == pytest.approx(3.02)
    assert now["usd_per_hour"] == pytest.approx(3600)
    listed = (await client.get("/api/rl/runs")).json()["runs"]
    assert listed[0]["cost_usd"] == pytest.approx(3.02)


async def test_a_clock_that_jumps_neither_bills_nor_gives_back(client: httpx.AsyncClient, parts: Services) -> None:
    clocks = Clocks()
    await begin(client, parts, clocks)
    meter = meter_of(parts, clocks)
    clocks.go(1)
    await meter.tick()
    for jump_s in (86_400, -172_800, 0):
        clocks.go(1)
        clocks.wall += timedelta(seconds=jump_s)
        await meter.tick()
    assert (await cost(client))["cpu_s"] == pytest.approx(4.0)


async def test_the_time_of_a_restart_is_charged_once(client: httpx.AsyncClient, parts: Services) -> None:
    clocks = Clocks()
    await begin(client, parts, clocks)
    clocks.go(2)
    await meter_of(parts, clocks).tick()
    clocks.go(60)
    clocks.steady = 0.0
    await meter_of(parts, clocks).tick()
    assert (await cost(client))["cpu_s"] == pytest.approx(62.0)


async def test_two_control_planes_charge_each_second_once(client: httpx.AsyncClient, parts: Services) -> None:
    clocks = Clocks()
    await begin(client, parts, clocks)
    one, other = meter_of(parts, clocks), meter_of(parts, clocks)
    for _ in range(5):
        clocks.go(1)
        await asyncio.gather(one.tick(), other.tick())
    assert (await cost(client))["cpu_s"] == pytest.approx(5.0)
    assert (await cost(client))["tokens"] == 40


async def test_a_meter_is_closed_by_the_runs_end_and_the_bill_is_an_event(
    client: httpx.AsyncClient, parts: Services
) -> None:
    clocks = Clocks()
    await begin(client, parts, clocks)
    meter = meter_of(parts, clocks)
    clocks.go(5)
    ended = NOON + timedelta(seconds=3)
    async with parts.database.write() as connection:
        await connection.execute(update(jobs).values(status="cancelled", ended_at=ended))
        await connection.execute(update(runs).values(status="stopped", ended_at=ended))
    await meter.tick()
    clocks.go(100)
    await meter.tick()
    now = await cost(client)
    assert (now["cpu_s"], now["usd_per_hour"]) == (pytest.approx(3.0), 0.0)
    events = (await client.get(f"/api/rl/runs/{RUN}/events")).json()["events"]
    bills = [event for event in events if event["kind"] == "cost.total"]
    assert len(bills) == 1
    assert bills[0]["data"]["usd"] == pytest.approx(3.0)


async def test_milestones_of_the_cap_are_events(client: httpx.AsyncClient, parts: Services) -> None:
    clocks = Clocks()
    await begin(client, parts, clocks, max_cost_usd=200)
    meter = meter_of(parts, clocks)
    for _ in range(4):
        clocks.go(49)
        await meter.tick()
    events = (await client.get(f"/api/rl/runs/{RUN}/events")).json()["events"]
    told = [event["message"] for event in events if event["kind"] == "cost.milestone"]
    assert [message.rpartition("than ")[2] for message in told] == ["50 %", "95 %"]


async def test_a_dry_run_answers_with_an_estimate(client: httpx.AsyncClient) -> None:
    body = {"dry_run": True, "max_hours": 1.0, "num_workers": 2}
    found = (await client.post("/api/rl/runs", json=body)).json()["estimate"]
    assert found["usd_per_hour"] == pytest.approx(4 * 3600 + 2 * 36)
    assert found["usd"] == pytest.approx(found["usd_per_hour"] * found["hours"])
    assert found["assumptions"]
    assert (await client.get("/api/rl/runs")).json()["runs"] == []


async def test_caps_and_capacity_that_cannot_work_are_refused(client: httpx.AsyncClient) -> None:
    for body, code in (
        ({"max_cost_usd": 0.01}, "cap_too_small"),
        ({"capacity": "preemptible"}, "capacity_not_offered"),
        ({"max_cost_usd": -1}, "invalid"),
        ({"idle_minutes": 0}, "invalid"),
    ):
        answer = await client.post("/api/rl/runs", json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["code"] == code or code == "invalid"
