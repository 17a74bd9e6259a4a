"""Jobs over HTTP: what people may do, what a job's token opens, and what bad input is told."""

import asyncio
import sys
import time

import httpx
import pytest
from fastapi import FastAPI

from skyscale.api.services import Services
from skyscale.wire.jobs import JobRole

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""HTTP looks the same over both databases; the services' own tests run on both."""
SLEEP = "import time; print('up', flush=True); time.sleep(60)"


@pytest.fixture
def parts(app: FastAPI) -> Services:
    return app.state.services


async def ends(client: httpx.AsyncClient, job_id: str, status: str) -> dict[str, object]:
    deadline = time.monotonic() + 15
    while (detail := (await client.get(f"/api/training/jobs/{job_id}")).json())["job"]["status"] != status:
        assert time.monotonic() < deadline, detail
        await asyncio.sleep(0.02)
    return detail


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_custom_job_from_post_to_log(client: httpx.AsyncClient) -> None:
    body = {"job_id": "job-by-http", "command": [sys.executable, "-c", "print('hello')"]}
    reply = await client.post("/api/training/jobs", json=body)
    assert reply.status_code == 202
    assert reply.json() == {"execution_id": "exec-job-by-http", "job_id": "job-by-http", "status": "queued"}
    detail = await ends(client, "job-by-http", "succeeded")
    assert str(detail["logs"]).endswith("hello\n")
    assert (await client.post("/api/training/jobs", json=body)).json()["status"] == "succeeded"
    listed = (await client.get("/api/training/jobs", params={"role": "custom"})).json()
    assert [job["job_id"] for job in listed["jobs"]] == ["job-by-http"]


async def test_delete_cancels_a_running_job(client: httpx.AsyncClient) -> None:
    job_id = (await client.post("/api/training/jobs", json={"command": [sys.executable, "-c", SLEEP]})).json()["job_id"]
    await ends(client, job_id, "running")
    assert (await client.delete(f"/api/training/jobs/{job_id}")).status_code == 202
    await ends(client, job_id, "cancelled")


async def test_bad_bodies_are_told_what_to_do(client: httpx.AsyncClient) -> None:
    bad: list[tuple[object, str | None]] = [
        ({}, "command_missing"),
        ({"command": ["true"], "provider": "moon"}, "provider_unknown"),
        ({"command": ["true"], "typo": 1}, None),
        ({"command": ["true"], "max_attempts": -1}, None),
        ({"command": ["true"], "job_id": "Not An Id"}, None),
        (["no", "object"], None),
    ]
    for body, code in bad:
        reply = await client.post("/api/training/jobs", json=body)
        assert reply.status_code == 422, body
        assert reply.json()["hint"]
        assert code is None or reply.json()["code"] == code


async def test_unknown_jobs_and_cursors_are_4xx(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/training/jobs/job-none")).status_code == 404
    assert (await client.delete("/api/training/jobs/job-none")).status_code == 404
    assert (await client.get("/api/jobs/job-none/assignment")).status_code == 404
    assert (await client.get("/api/training/jobs", params={"cursor": "x"})).status_code == 400
    assert (await client.get("/api/training/jobs", params={"limit": 0})).status_code == 422
    assert (await client.get("/api/training/jobs", params={"cursor": "9" * 30})).status_code == 200


async def test_a_job_token_opens_its_own_job_and_its_own_attempt_only(
    client: httpx.AsyncClient, parts: Services
) -> None:
    job_id = (await client.post("/api/training/jobs", json={"command": [sys.executable, "-c", SLEEP]})).json()["job_id"]
    await ends(client, job_id, "running")
    mine = bearer(parts.tokens.issue(job_id, None, JobRole.CUSTOM, 1))
    beat = f"/api/jobs/{job_id}/heartbeat"
    reply = await client.post(beat, json={"detail": "working"}, headers=mine)
    assert (reply.status_code, reply.json()["desired"]) == (200, "run")
    assert (await client.get(f"/api/training/jobs/{job_id}")).json()["job"]["detail"] == "working"
    assert (await client.post(beat, json={})).status_code == 400, "an operator is no attempt"
    other = bearer(parts.tokens.issue("job-other", None, JobRole.CUSTOM, 1))
    assert (await client.post(beat, json={}, headers=other)).status_code == 403
    older = bearer(parts.tokens.issue(job_id, None, JobRole.CUSTOM, 0))
    assert (await client.post(beat, json={}, headers=older)).status_code == 410
    assert (await client.post("/api/training/jobs", json={"command": ["true"]}, headers=mine)).status_code == 403
    assert (await client.get(f"/api/jobs/{job_id}/assignment", headers=mine)).status_code == 409
    await client.delete(f"/api/training/jobs/{job_id}")
    await ends(client, job_id, "cancelled")
    assert (await client.post(beat, json={}, headers=mine)).status_code == 410
