"""Container services through our HTTP API, against a Railway on this machine that runs them as processes."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from graphql import GraphQLError

from skyscale.api.app import create_app
from skyscale.api.services import running
from skyscale.services.railway import refusal
from skyscale.services.rules import status_of
from skyscale.services.templates import TEMPLATES
from skyscale.settings import Settings
from skyscale.wire.base import utc_now
from skyscale.wire.services import ServiceStatus
from tests.contract.railway_server import TOKEN, RailwayServer

API = "/api/services"


@pytest.fixture
def railway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[RailwayServer]:
    server = RailwayServer(tmp_path)
    monkeypatch.setenv("RAILWAY_API_URL", server.url)
    monkeypatch.setenv("RAILWAY_TOKEN", TOKEN)
    monkeypatch.setenv("RAILWAY_MAX_SERVICES", "2")
    yield server
    server.close()


@pytest.fixture
def app(railway: RailwayServer, tmp_path: Path) -> FastAPI:
    made = create_app(Settings(data_dir=tmp_path / "data"))
    made.state.services.containers._clock = Clock()
    return made


@pytest.fixture
async def client(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 5))
    async with running(app.state.services), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as made:
        yield made


class Clock:
    """Every look is ten seconds later, so that nothing is remembered."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 10
        return self.now


async def until(client: httpx.AsyncClient, name: str, status: str) -> dict[str, Any]:
    for _ in range(200):
        view = (await client.get(f"{API}/{name}")).json()
        if view["status"] == status:
            return view
        await asyncio.sleep(0.05)
    raise AssertionError(view)


async def refused(call: Any, status: int, code: str) -> dict[str, Any]:
    reply = await call
    assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text
    assert reply.json()["hint"]
    return reply.json()


async def test_a_template_is_deployed_called_read_stopped_and_deleted(
    client: httpx.AsyncClient, railway: RailwayServer
) -> None:
    made = await client.post(API, json={"name": "adder", "template": "python-fn"})
    assert made.status_code == 201, made.text
    # Nothing is started before it is what it should be.
    assert [call for call in railway.calls if call not in ("environment", "projectToken")] == [
        "serviceCreate", "variableCollectionUpsert", "serviceInstanceUpdate", "serviceInstanceLimitsUpdate",
        "serviceInstanceDeployV2", "serviceDomainCreate",
    ]  # fmt: skip
    (container,) = railway.containers.values()
    assert container.config["restartPolicyType"] == "NEVER"
    assert (container.limits["vCPUs"], container.limits["memoryGB"]) == (1.0, 0.5)
    assert railway.headers["x-source"] == "skyscale"
    view = await until(client, "adder", "running")
    assert view["url"] == f"http://127.0.0.1:{container.port}" and view["image"] == "python:3.11-slim"
    called = (await client.post(f"{API}/adder/call", json={"method": "POST", "body": '{"numbers": [4, 5]}'})).json()
    assert (called["status_code"], called["body"], called["is_cut"]) == (200, '{"sum": 9}', False)
    bad = (await client.post(f"{API}/adder/call", json={"method": "POST", "body": "{}"})).json()
    assert bad["status_code"] == 400 and "numbers" in bad["body"]
    lines = (await client.get(f"{API}/adder/logs", params={"limit": 5})).json()["lines"]
    assert any("POST / HTTP" in line["message"] for line in lines)
    for _ in range(2):
        assert (await client.post(f"{API}/adder/stop")).status_code == 204
    await until(client, "adder", "stopped")
    await refused(client.post(f"{API}/adder/call", json={}), 409, "service_not_running")
    assert container.process is not None and container.process.poll() is not None
    for _ in range(2):
        assert (await client.delete(f"{API}/adder")).status_code == 204
    assert railway.containers == {}
    await refused(client.get(f"{API}/adder"), 404, "service_not_found")


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "python-fn"])
async def test_every_template_answers_its_own_test(
    client: httpx.AsyncClient, railway: RailwayServer, name: str
) -> None:
    template = TEMPLATES[name].view
    made = await client.post(API, json={"name": "tried", "template": name, "env_vars": {"EVERY_S": "1"}})
    assert made.status_code == 201, made.text
    await until(client, "tried", "running")
    body = {"method": template.test_method, "path": template.test_path, "body": template.test_body}
    called = (await client.post(f"{API}/tried/call", json=body)).json()
    assert called["status_code"] in (200, 202), called
    health = (await client.post(f"{API}/tried/call", json={"path": "/health"})).json()
    assert health["status_code"] == 200 and '"ok": true' in health["body"]


async def test_names_templates_quotas_and_wishes_are_checked_before_railway_is_asked(
    client: httpx.AsyncClient, railway: RailwayServer
) -> None:
    await refused(client.post(API, json={"name": "x1", "template": "nothing"}), 404, "template_not_found")
    for body in (
        {"name": "Not A Name", "template": "python-fn"},
        {"name": "ok"},
        {"name": "ok", "template": "python-fn", "image": "nginx"},
        {"name": "ok", "image": "nginx", "env_vars": {"not a name": "1"}},
        {"name": "ok", "image": "nginx", "port": 0},
    ):
        assert (await client.post(API, json=body)).status_code == 422, body
    assert "serviceCreate" not in railway.calls
    for name in ("one", "two"):
        await client.post(API, json={"name": name, "template": "python-fn"})
    await refused(client.post(API, json={"name": "one", "template": "python-fn"}), 409, "service_exists")
    await refused(client.post(API, json={"name": "three", "template": "python-fn"}), 429, "service_quota")
    assert [each["name"] for each in (await client.get(API)).json()["services"]] == ["one", "two"]


async def test_a_deploy_that_fails_on_its_way_leaves_nothing(client: httpx.AsyncClient, railway: RailwayServer) -> None:
    for step in ("variableCollectionUpsert", "serviceInstanceDeployV2", "serviceDomainCreate"):
        railway.fail = {step: GraphQLError("Problem processing request")}
        said = await refused(client.post(API, json={"name": "half", "template": "python-fn"}), 502, "railway_failed")
        assert "t-1" in said["detail"]
        assert railway.containers == {}
    railway.fail = {"serviceCreate": GraphQLError("You are creating services too quickly, wait 30 seconds")}
    await refused(client.post(API, json={"name": "half", "template": "python-fn"}), 429, "railway_rate_limited")


async def test_services_of_others_in_the_project_are_neither_seen_nor_touched(
    client: httpx.AsyncClient, railway: RailwayServer
) -> None:
    railway.serviceCreate(None, {"name": "somebody-elses"})
    assert (await client.get(API)).json()["services"] == []
    assert (await client.delete(f"{API}/somebody-elses")).status_code == 204
    assert len(railway.containers) == 1


async def test_what_railway_refuses_or_garbles_is_said(
    client: httpx.AsyncClient, railway: RailwayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    railway.replies = [(429, {"retry-after": "17"}, b"")]
    reply = await client.get(API)
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "17")
    # Reading is tried again; what never gets better is told.
    railway.replies = [(500, {}, b"<html>"), (502, {}, b"[]")]
    assert (await client.get(API)).status_code == 200
    railway.replies = [(500, {}, b"<html>")] * 3
    await refused(client.get(API), 502, "railway_failed")
    # Writing is never tried again.
    railway.calls.clear()
    railway.fail = {"serviceCreate": GraphQLError("Problem processing request")}
    await client.post(API, json={"name": "once", "template": "python-fn"})
    assert railway.calls.count("serviceCreate") == 1


@pytest.mark.parametrize(("token", "code"), [("", "railway_not_configured"), ("wrong-token", "railway_unauthorized")])
async def test_without_the_right_token_it_is_said(
    railway: RailwayServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, code: str
) -> None:
    monkeypatch.delenv("RAILWAY_TOKEN")
    if token:
        monkeypatch.setenv("RAILWAY_TOKEN", token)
    app = create_app(Settings(data_dir=tmp_path / "data"))
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 5))
    async with (
        running(app.state.services),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        known = (await client.get(f"{API}/templates")).json()
        assert known["is_configured"] is bool(token) and len(known["templates"]) == len(TEMPLATES)
        if token:
            await refused(client.get(API), 503, code)
        else:
            said = await client.get(API)
            assert said.status_code == 503 and said.json()["code"] == code


async def test_strangers_and_jobs_may_not(railway: RailwayServer, tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path / "data", dashboard_token="a-token-of-some-length"))  # pyright: ignore
    transport = httpx.ASGITransport(app, client=("203.0.113.9", 5))
    async with running(app.state.services), httpx.AsyncClient(transport=transport, base_url="http://there") as client:
        for method, path in (("GET", ""), ("POST", ""), ("GET", "/x/logs"), ("POST", "/x/call"), ("DELETE", "/x")):
            assert (await client.request(method, API + path, json={})).status_code == 401, (method, path)
    assert railway.calls == []


def test_railways_words_for_a_deployment() -> None:
    def deployment(status: str, *instances: str, stopped: bool = False) -> dict[str, Any]:
        return {"status": status, "deploymentStopped": stopped, "instances": [{"status": each} for each in instances]}

    assert status_of(None) == ServiceStatus.CREATED
    assert status_of(deployment("BUILDING")) == ServiceStatus.DEPLOYING
    assert status_of(deployment("SUCCESS", "RUNNING")) == ServiceStatus.RUNNING
    assert status_of(deployment("SUCCESS", "EXITED")) == ServiceStatus.EXITED
    assert status_of(deployment("SUCCESS", "RUNNING", "CRASHED")) == ServiceStatus.CRASHED
    assert status_of(deployment("SUCCESS", "RUNNING", stopped=True)) == ServiceStatus.STOPPED
    assert status_of(deployment("FAILED")) == ServiceStatus.FAILED
    assert status_of(deployment("SOMETHING_NEW")) == ServiceStatus.FAILED


def test_errors_of_railway_are_told_apart_by_code_and_text() -> None:
    for message, code, expected in (
        ("Not Authorized", "INTERNAL_SERVER_ERROR", "railway_unauthorized"),
        ("Service not found", "INTERNAL_SERVER_ERROR", "service_not_found"),
        ("creating too quickly", "INTERNAL_SERVER_ERROR", "railway_rate_limited"),
        ("name: too long", "BAD_USER_INPUT", "railway_refused"),
        ("Problem processing request", "INTERNAL_SERVER_ERROR", "railway_failed"),
    ):
        assert refusal({"message": message, "extensions": {"code": code}}).code == expected


async def test_a_service_is_metered_by_what_it_may_use_and_stopped_at_its_cap(
    client: httpx.AsyncClient, app: FastAPI
) -> None:
    wall, steady = utc_now(), 0.0
    meter = app.state.services.meters.services
    meter._clock, meter._steady = lambda: wall, lambda: steady
    body = {"name": "dear", "template": "python-fn", "vcpus": 2, "memory_gb": 4, "max_cost_usd": 1.0}
    made = (await client.post(API, json=body)).json()
    rate = 2 * 0.0278 + 4 * 0.0139
    assert (made["cost"]["usd"], made["cost"]["usd_per_hour"]) == (0.0, pytest.approx(rate))
    await until(client, "dear", "running")
    wall, steady = wall + timedelta(hours=1), 3600.0
    await meter.tick()
    wall, steady = wall + timedelta(days=100), 7200.0  # a wall clock that jumps bills nothing
    await meter.tick()
    cost = (await client.get(f"{API}/dear")).json()["cost"]
    assert (cost["running_s"], cost["usd"]) == (7200.0, pytest.approx(2 * rate))
    assert (await client.get("/api/costs")).json()["services"]["usd"] == pytest.approx(2 * rate)
    steady = 32_300.0  # of 32,374 that a dollar pays for; two ticks are kept back
    await meter.tick()
    await until(client, "dear", "stopped")
    steady += 60
    await meter.tick()
    steady += 3600
    await meter.tick()
    cost = (await client.get(f"{API}/dear")).json()["cost"]
    assert cost["usd"] <= 1.0
    assert cost["usd_per_hour"] == 0.0
    await client.delete(f"{API}/dear")
    await meter.tick()
    assert (await client.get("/api/costs")).json()["services"]["usd"] == pytest.approx(cost["usd"])


async def test_a_cap_that_does_not_pay_for_the_start_is_refused_before_anything_is_made(
    client: httpx.AsyncClient, railway: RailwayServer
) -> None:
    body = {"name": "dear", "template": "python-fn", "max_cost_usd": 0.001}
    await refused(client.post(API, json=body), 422, "cap_too_small")
    assert "serviceCreate" not in railway.calls
