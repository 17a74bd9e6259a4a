"""The meters of jobs of their own: ticks, jumping clocks, two control planes, caps, totals; on both databases."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from skyscale.api.app import create_app
from skyscale.api.services import Services, build
from skyscale.money.jobs.meter import JobMeter
from skyscale.money.prices import Prices
from skyscale.settings import Settings
from skyscale.store.migrate import upgrade
from skyscale.store.tables.costs import job_costs
from skyscale.store.tables.jobs import jobs
from skyscale.telemetry.metrics import Metrics

JOB = "job-dear"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PRICES = '{"local": {"cpu": 3600, "a100": 7200}}'
"""A core costs a dollar a second, an accelerator two."""


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
    services = build(settings.model_copy(update={"prices": PRICES}))
    await upgrade(services.database)
    yield services
    await services.http.aclose()
    await services.database.close()


@pytest.fixture
def app(settings: Settings, parts: Services) -> FastAPI:
    return create_app(settings, parts)


def meter_of(parts: Services, clocks: Clocks, metrics: Metrics | None = None) -> JobMeter:
    return JobMeter(
        parts.database, metrics or Metrics(), Prices.parse(PRICES), parts.jobs.stop_for, clock=lambda: clocks.wall,
        steady=lambda: clocks.steady,
    )  # fmt: skip


async def begin(client: httpx.AsyncClient, parts: Services, **changes: object) -> None:
    """A job that has run since noon, and whose meter begins then."""
    answer = await client.post("/api/training/jobs", json={"job_id": JOB, "command": ["true"], **changes})
    assert answer.status_code == 202, answer.text
    async with parts.database.write() as connection:
        await connection.execute(update(jobs).values(status="running", attempt=1, started_at=NOON, handle="x"))
        await connection.execute(update(job_costs).values(metered_at=NOON))


async def cost(client: httpx.AsyncClient) -> dict[str, float]:
    return (await client.get(f"/api/training/jobs/{JOB}")).json()["job"]["cost"]


async def test_a_job_is_metered_like_a_run_and_shows_it_in_its_view_and_in_totals(
    client: httpx.AsyncClient, parts: Services
) -> None:
    await begin(client, parts, gpu_model="a100:2")
    clocks, metrics = Clocks(), Metrics()
    meter = meter_of(parts, clocks, metrics)
    assert (await cost(client))["usd"] == 0
    clocks.go(3)
    await meter.tick()
    now = await cost(client)
    assert (now["gpu_s"], now["cpu_s"], now["usd"], now["usd_per_hour"]) == (6.0, 0.0, 12.0, 14400.0)
    listed = (await client.get("/api/training/jobs")).json()["jobs"]
    assert listed[0]["cost"]["usd"] == 12.0
    spent = (await client.get("/api/costs")).json()
    assert spent["jobs"] == {"count": 1, "gpu_s": 6.0, "cpu_s": 0.0, "usd": 12.0, "usd_per_hour": 14400.0}
    assert (spent["runs"]["usd"], spent["usd"]) == (0.0, 12.0)
    assert metrics.job_cost_usd.labels("local")._value.get() == 12.0


async def test_neither_jumps_nor_restarts_nor_a_second_control_plane_charge_a_second_twice(
    client: httpx.AsyncClient, parts: Services
) -> None:
    await begin(client, parts)
    clocks = Clocks()
    one, other = meter_of(parts, clocks), meter_of(parts, clocks)
    for _ in range(3):
        clocks.go(1)
        await asyncio.gather(one.tick(), other.tick())
    clocks.go(1)
    await one.tick()
    clocks.wall += timedelta(days=1)
    clocks.go(1)
    await one.tick()
    assert (await cost(client))["cpu_s"] == pytest.approx(5.0)


async def test_a_meter_is_closed_by_the_jobs_end_and_charges_until_then(
    client: httpx.AsyncClient, parts: Services
) -> None:
    await begin(client, parts)
    clocks = Clocks()
    meter = meter_of(parts, clocks)
    clocks.go(1)
    await meter.tick()
    async with parts.database.write() as connection:
        await connection.execute(update(jobs).values(status="succeeded", ended_at=NOON + timedelta(seconds=4)))
    clocks.go(60)
    await meter.tick()
    clocks.go(60)
    await meter.tick()
    now = await cost(client)
    assert (now["cpu_s"], now["usd"], now["usd_per_hour"]) == (4.0, 4.0, 0.0)


async def test_a_job_is_told_to_stop_before_its_cap_and_says_why(client: httpx.AsyncClient, parts: Services) -> None:
    await begin(client, parts, max_cost_usd=60)
    clocks = Clocks()
    meter = meter_of(parts, clocks)
    clocks.go(40)
    await meter.tick()
    assert await wish(parts) == ("run", None)
    clocks.go(8)  # 48 are spent, and 12 seconds are kept back for the end
    await meter.tick()
    desired, why = await wish(parts)
    assert desired == "stop"
    assert why == "reached max_cost_usd: $48.0000 of $60 are spent, the rest pays the end"


async def wish(parts: Services) -> tuple[str, str | None]:
    async with parts.database.read() as connection:
        row = (await connection.execute(select(jobs.c.desired, jobs.c.stop_reason))).one()
        return row[0], row[1]


async def test_caps_that_cannot_be_kept_are_refused(client: httpx.AsyncClient) -> None:
    for changes, code in (({"max_cost_usd": 20}, "cap_too_small"), ({"max_cost_usd": 0}, "invalid")):
        answer = await client.post("/api/training/jobs", json={"command": ["true"], **changes})
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert (await client.get("/api/costs")).json()["jobs"]["count"] == 0


async def test_a_capped_job_ends_with_its_reason_and_nothing_of_it_runs_on(settings: Settings) -> None:
    from skyscale.api.services import running

    prices = '{"local": {"cpu": 3600}}'
    app = create_app(settings.model_copy(update={"prices": prices, "reconcile_s": 0.1}))
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 5))
    async with running(app.state.services), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        command = ["python3", "-c", "import time; time.sleep(120)"]
        await http.post("/api/training/jobs", json={"job_id": JOB, "command": command, "max_cost_usd": 25.0})
        await app.state.services.database.transact(
            lambda connection: connection.execute(update(job_costs).values(usd=13.0))
        )
        async with asyncio.timeout(60):
            while (view := (await http.get(f"/api/training/jobs/{JOB}")).json()["job"])["status"] != "cancelled":  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        assert view["reason"].startswith("reached max_cost_usd: ")
        assert 13 <= view["cost"]["usd"] < 25
