"""Runs over HTTP: creation, retries, paging, publishing, metrics, and who may do what; on both databases."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from skyscale.api.app import create_app
from skyscale.api.services import Services, build
from skyscale.settings import Settings
from skyscale.store.migrate import upgrade
from skyscale.wire.jobs import JobRole

RUN = "rl-one"
PUBLISH = {"version": 1, "parent": 0, "manifest_uri": "file:///x/manifest.json", "manifest_sha256": "a" * 64}


@pytest.fixture
async def parts(settings: Settings) -> AsyncGenerator[Services]:
    """The parts without their reconcilers, so that nothing moves by itself."""
    services = build(settings)
    await upgrade(services.database)
    yield services
    await services.http.aclose()
    await services.database.close()


@pytest.fixture
def app(settings: Settings, parts: Services) -> FastAPI:
    return create_app(settings, parts)


def token(parts: Services, role: JobRole, run_id: str = RUN, attempt: int = 1) -> dict[str, str]:
    job_id = f"job-{role.value}-{run_id.removeprefix('rl-')}-0"
    return {"Authorization": f"Bearer {parts.tokens.issue(job_id, run_id, role, attempt)}"}


async def create(client: httpx.AsyncClient, run_id: str = RUN, **changes: object) -> httpx.Response:
    return await client.post("/api/rl/runs", json={"run_id": run_id, **changes})


async def test_an_empty_body_is_enough(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/rl/runs", json={})
    assert answer.status_code == 202
    body = answer.json()
    assert body["status"] == "starting"
    view = (await client.get(f"/api/rl/runs/{body['run_id']}")).json()
    assert view["spec"] == body["spec"]
    assert (view["stage"], view["policy_status"], view["policy_version"]) == ("waiting_for_policy", "waiting", 0)
    assert view["event_count"] == 1


async def test_a_repeated_request_finds_the_same_run_and_another_body_is_refused(client: httpx.AsyncClient) -> None:
    first, again = await create(client, seed=1), await create(client, seed=1)
    assert (again.status_code, again.json()) == (202, first.json())
    other = await create(client, seed=2)
    assert (other.status_code, other.json()["code"]) == (409, "run_exists")


async def test_an_idempotency_key_finds_the_run_it_made(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k-1"}
    sent = [client.post("/api/rl/runs", json={"seed": 3}, headers=headers) for _ in range(4)]
    answers = await asyncio.gather(*sent)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    other = await client.post("/api/rl/runs", json={"seed": 4}, headers=headers)
    assert other.status_code == 409


async def test_a_dry_run_resolves_and_starts_nothing(client: httpx.AsyncClient) -> None:
    answer = await create(client, dry_run=True, mode="synchronous")
    assert (answer.status_code, answer.json()["spec"]["algorithm"]["max_staleness"]) == (200, 0)
    assert (await client.get(f"/api/rl/runs/{RUN}")).status_code == 404


async def test_runs_are_listed_newest_first_in_pages(client: httpx.AsyncClient) -> None:
    for n in range(5):
        await create(client, f"rl-run-{n}")
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = (await client.get("/api/rl/runs", params={"limit": 2, **cursor})).json()
        seen += [run["run_id"] for run in page["runs"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == [f"rl-run-{n}" for n in (4, 3, 2, 1, 0)]
    assert (await client.get("/api/rl/runs", params={"status": "running"})).json()["runs"] == []


async def test_only_the_next_version_can_be_published_and_a_repeat_is_answered_the_same(
    client: httpx.AsyncClient,
) -> None:
    await create(client)
    url = f"/api/rl/runs/{RUN}/policies"
    first = await client.post(url, json=PUBLISH)
    assert first.status_code == 200, first.text
    assert (await client.post(url, json=PUBLISH)).json() == first.json()
    for wrong in ({"manifest_sha256": "b" * 64}, {"version": 3, "parent": 2}, {"version": 2, "parent": 0}):
        answer = await client.post(url, json=PUBLISH | wrong)
        assert (answer.status_code, answer.json()["code"]) == (409, "version_conflict"), wrong
    listed = (await client.get(url)).json()["policies"]
    assert [version["version"] for version in listed] == [1]


async def test_concurrent_publishes_of_one_version_make_one(client: httpx.AsyncClient) -> None:
    await create(client)
    bodies = [PUBLISH | {"manifest_sha256": f"{n}" * 64} for n in range(4)]
    answers = await asyncio.gather(*(client.post(f"/api/rl/runs/{RUN}/policies", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


async def test_a_run_that_was_stopped_takes_no_version_and_no_policy_server(client: httpx.AsyncClient) -> None:
    await create(client)
    assert (await client.delete(f"/api/rl/runs/{RUN}")).status_code == 204
    assert (await client.delete(f"/api/rl/runs/{RUN}")).status_code == 204
    assert (await client.post(f"/api/rl/runs/{RUN}/policies", json=PUBLISH)).status_code == 409
    registered = await client.post(f"/api/rl/runs/{RUN}/policy-server", json={"url": "http://127.0.0.1:9"})
    assert registered.status_code == 409
    assert (await client.get(f"/api/rl/runs/{RUN}")).json()["status"] == "stopping"


async def test_reload_says_what_is_missing(client: httpx.AsyncClient) -> None:
    await create(client)
    url = f"/api/rl/runs/{RUN}/policy-reload"
    assert (await client.post(url, json={})).status_code == 409
    await client.post(f"/api/rl/runs/{RUN}/policies", json=PUBLISH)
    assert (await client.post(url, json={"version": 9})).json()["code"] == "version_not_found"
    assert (await client.post(url, json={"checkpoint_url": "file:///y"})).json()["code"] == "version_not_found"
    assert (await client.post(url, json={"version": 1})).status_code == 503


async def test_only_the_policy_job_or_an_operator_registers_and_only_on_this_machine(
    client: httpx.AsyncClient, parts: Services
) -> None:
    await create(client)
    url, body = f"/api/rl/runs/{RUN}/policy-server", {"url": "http://127.0.0.1:9999"}
    assert (await client.post(url, json={"url": "http://10.1.1.1:80"})).status_code == 422
    assert (await client.post(url, json=body, headers=token(parts, JobRole.WORKER))).status_code == 403
    assert (await client.post(url, json=body, headers=token(parts, JobRole.POLICY, "rl-two"))).status_code == 403
    assert (await client.post(url, json=body, headers=token(parts, JobRole.POLICY, attempt=2))).status_code == 204
    old = await client.post(url, json={"url": "http://127.0.0.1:1"}, headers=token(parts, JobRole.POLICY, attempt=1))
    assert (old.status_code, old.json()["code"]) == (409, "superseded")


async def test_metrics_are_kept_and_shown(client: httpx.AsyncClient, parts: Services) -> None:
    await create(client)
    body = {"job_id": "job-trainer-one-0", "step": 1, "loss": 0.25, "episode_reward": 0.5, "metrics": {"entropy": 1.5}}
    headers = token(parts, JobRole.TRAINER)
    assert (await client.post("/api/training/metrics", json=body, headers=headers)).status_code == 202
    nan = '{"job_id": "rl-one", "step": 2, "loss": NaN, "metrics": {"x": Infinity, "y": 2}}'
    as_json = {"content-type": "application/json"}
    assert (await client.post("/api/training/metrics", content=nan, headers=as_json)).status_code == 202
    view = (await client.get(f"/api/rl/runs/{RUN}")).json()
    assert [(p["step"], p["loss"], p["metrics"]) for p in view["metrics"]] == [
        (1, 0.25, {"entropy": 1.5}),
        (2, None, {"y": 2}),
    ]
    text = (await client.get("/metrics")).text
    assert 'skyscale_training_episode_reward{run_id="rl-one"} 0.5' in text
    assert 'skyscale_http_requests_total{method="POST",route="/api/training/metrics",status="202"} 2.0' in text
    worker = await client.post(
        "/api/training/metrics", json=body | {"job_id": RUN}, headers=token(parts, JobRole.WORKER)
    )
    assert worker.status_code == 403


async def test_events_are_paged_and_followed_from_the_last_one_seen(client: httpx.AsyncClient, app: FastAPI) -> None:
    await create(client)
    for n in range(3):
        event = {"kind": "test.n", "message": f"number\n{n}", "data": {"n": n}}
        assert (await client.post(f"/api/rl/runs/{RUN}/events", json=event)).status_code == 202
    page = (await client.get(f"/api/rl/runs/{RUN}/events", params={"after": 2, "limit": 1})).json()
    assert [event["seq"] for event in page["events"]] == [3]
    lines = await _stream(app, {"last-event-id": "3", "accept": "text/event-stream"}, 6)
    assert lines[2:5][0] == "id: 4"
    assert lines[3] == "event: test.n"
    assert json.loads(lines[4].removeprefix("data: "))["data"] == {"n": 2}


async def _stream(app: FastAPI, headers: dict[str, str], num_lines: int) -> list[str]:
    """The first lines of the event stream; httpx's ASGI transport would wait for its end."""
    received: list[bytes] = []
    enough = asyncio.Event()
    requests = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, object]:
        for request in requests:
            return request
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        received.append(message.get("body", b""))
        if b"".join(received).count(b"\n") >= num_lines:
            enough.set()

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": f"/api/rl/runs/{RUN}/events", "raw_path": b"", "query_string": b"", "root_path": "",
        "headers": [(k.encode(), v.encode()) for k, v in (headers | {"host": "127.0.0.1"}).items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    async with asyncio.timeout(5):
        await app(scope, receive, send)
    return b"".join(received).decode().split("\n")


@pytest.fixture
async def locked(settings: Settings, parts: Services) -> AsyncGenerator[httpx.AsyncClient]:
    """A control plane with a dashboard token, called without it."""
    secured = settings.model_copy(update={"dashboard_token": SecretStr("dashboard-secret")})
    application = create_app(secured, build(secured))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://127.0.0.1") as http:
        yield http
    await application.state.services.http.aclose()
    await application.state.services.database.close()


async def test_with_a_dashboard_token_changes_need_it(locked: httpx.AsyncClient, parts: Services) -> None:
    right = {"Authorization": "Bearer dashboard-secret"}
    assert (await locked.post("/api/rl/runs", json={})).status_code == 401
    wrong = await locked.post("/api/rl/runs", json={}, headers={"Authorization": "Bearer dashboard-secreT"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_token")
    assert (await locked.get("/api/rl/runs", headers={"Authorization": "Bearer nonsense"})).status_code == 401
    assert (await locked.get("/api/rl/runs", headers={"Authorization": "Basic eDp5"})).status_code == 401
    assert (await locked.get("/api/rl/runs")).status_code == 200
    made = await locked.post("/api/rl/runs", json={"run_id": RUN}, headers=right)
    assert made.status_code == 202
    assert (await locked.delete(f"/api/rl/runs/{RUN}", headers=token(parts, JobRole.TRAINER))).status_code == 403
    assert (await locked.get("/api/rl/runs/rl-else", headers=token(parts, JobRole.TRAINER))).status_code == 403
    assert (await locked.get(f"/api/rl/runs/{RUN}", headers=token(parts, JobRole.TRAINER))).status_code == 200


async def test_without_a_token_only_this_machine_by_its_own_name_is_the_operator(app: FastAPI) -> None:
    async def status(address: str, **headers: str) -> int:
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            return (await http.post("/api/rl/runs", json={"dry_run": True}, headers=headers)).status_code

    assert await status("127.0.0.1") == 200
    assert await status("127.0.0.1", Origin="http://localhost:3000") == 200
    assert await status("192.0.2.7") == 401
    assert await status("127.0.0.1", Host="rebound.example:8080") == 401
    assert await status("127.0.0.1", Origin="https://evil.example") == 401


async def test_metrics_are_read_as_columns_from_where_a_reader_stopped(
    client: httpx.AsyncClient, parts: Services
) -> None:
    await create(client)
    headers = token(parts, JobRole.TRAINER)
    for step, metrics in ((1, {"entropy": 1.5}), (2, {}), (3, {"entropy": 0.5})):
        body = {"job_id": "job-trainer-one-0", "step": step, "episode_reward": step / 4, "metrics": metrics}
        assert (await client.post("/api/training/metrics", json=body, headers=headers)).status_code == 202
    first = (await client.get(f"/api/rl/runs/{RUN}/metrics?limit=2")).json()
    assert (first["step"], first["series"]["entropy"]) == ([1, 2], [1.5, None])
    assert first["series"]["episode_reward"] == [0.25, 0.5]
    rest = (await client.get(f"/api/rl/runs/{RUN}/metrics?after={first['after']}&keys=entropy,unheard_of")).json()
    assert (rest["step"], rest["series"]) == ([3], {"entropy": [0.5], "unheard_of": [None]})
    none = (await client.get(f"/api/rl/runs/{RUN}/metrics?after={rest['after']}")).json()
    assert (none["step"], none["after"]) == ([], rest["after"])
    assert (await client.get("/api/rl/runs/rl-nobody/metrics")).status_code == 404
    assert (await client.get(f"/api/rl/runs/{RUN}/metrics?after=-1")).status_code == 422
