"""What there is to run jobs on, templates, logs that are followed, and files that jobs leave behind, over HTTP."""

import json
import sys

import httpx
import pytest
from fastapi import FastAPI

from skyscale.api.services import Services
from skyscale.wire.jobs import JobRole, TrainingJobCreate
from tests.service.jobs.test_jobs_api import bearer, ends

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def parts(app: FastAPI) -> Services:
    return app.state.services


async def test_the_inventory_names_every_provider_and_what_it_needs(
    client: httpx.AsyncClient,
) -> None:
    found = (await client.get("/api/gpus")).json()
    by_name = {each["name"]: each for each in found["providers"]}
    assert set(by_name) >= {"local", "ray"}
    assert by_name["local"] | {"trouble": None} == by_name["local"]
    assert (by_name["local"]["order"], by_name["local"]["is_ready"]) == (1, True)
    assert "RAY_API_SERVER_ADDRESS" in by_name["ray"]["missing"]
    assert next(iter(found)) == "offers"
    assert "a100 (40 GB)" in found["known_models"]


async def test_an_unknown_accelerator_is_refused_with_the_list(client: httpx.AsyncClient) -> None:
    for path, body in [("/api/training/jobs", {"command": ["true"]}), ("/api/rl/runs", {})]:
        refused = await client.post(path, json=body | {"gpu_model": "abacus"})
        assert refused.status_code == 422
        assert all(word in refused.json()["detail"] for word in ("abacus", "a100", "rtx4090"))
    too_many = await client.post("/api/training/jobs", json={"command": ["true"], "gpu_model": "a100:9"})
    assert too_many.json()["code"] == "gpu_count"


async def test_a_provider_that_is_not_ready_is_refused_with_what_to_do(client: httpx.AsyncClient) -> None:
    for path, body in [("/api/training/jobs", {"command": ["true"]}), ("/api/rl/runs", {})]:
        refused = await client.post(path, json=body | {"provider": "ray"})
        assert refused.json()["code"] == "provider_not_ready"
        assert "RAY_API_SERVER_ADDRESS" in refused.json()["detail"]


async def test_auto_with_one_provider_says_its_name(client: httpx.AsyncClient) -> None:
    dry = await client.post("/api/rl/runs", json={"dry_run": True})
    assert dry.json()["spec"]["provider"] == "local"


async def test_every_template_is_a_body_that_is_taken(client: httpx.AsyncClient) -> None:
    templates = (await client.get("/api/templates")).json()["templates"]
    assert {each["name"] for each in templates} >= {"command", "policy-server", "trainer"}
    for each in templates:
        TrainingJobCreate.model_validate(each["body"])
    body = next(each["body"] for each in templates if each["name"] == "command") | {"job_id": "job-template"}
    body["command"][0] = sys.executable
    assert (await client.post("/api/training/jobs", json=body)).status_code == 202
    await ends(client, "job-template", "succeeded")


async def test_a_log_is_followed_to_the_end_of_its_job(client: httpx.AsyncClient) -> None:
    code = "import time\nfor i in range(3): print('line', i, flush=True); time.sleep(0.5)"
    job_id = (await client.post("/api/training/jobs", json={"command": [sys.executable, "-c", code]})).json()["job_id"]
    reply = await client.get(f"/api/training/jobs/{job_id}/logs", timeout=30)
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [dict(line.split(": ", 1) for line in part.splitlines()) for part in reply.text.strip().split("\n\n")]
    text = "".join(json.loads(event["data"])["text"] for event in events if event.get("event") == "log")
    assert [line for line in text.splitlines() if line.startswith("line")] == ["line 0", "line 1", "line 2"]
    assert events[-1]["event"] == "end"
    assert json.loads(events[-1]["data"])["status"] == "succeeded"


async def test_a_job_leaves_files_behind_with_its_own_token(client: httpx.AsyncClient, parts: Services) -> None:
    job_id = (await client.post("/api/training/jobs", json={"command": ["true"]})).json()["job_id"]
    await ends(client, job_id, "succeeded")
    at = f"/api/training/jobs/{job_id}/artifacts"
    mine, other = (bearer(parts.tokens.issue(each, None, JobRole.CUSTOM, 1)) for each in (job_id, "job-other"))
    kept = await client.put(f"{at}/model.bin", content=b"\x00weights", headers=mine)
    assert kept.status_code == 201
    assert (kept.json()["size_bytes"], len(kept.json()["sha256"])) == (8, 64)
    assert (await client.put(f"{at}/model.bin", content=b"x", headers=other)).status_code == 403
    assert (await client.get(f"{at}/model.bin", headers=other)).status_code == 403
    listed = (await client.get(at)).json()["artifacts"]
    assert [each["name"] for each in listed] == ["model.bin"]
    assert (await client.get(listed[0]["url"])).content == b"\x00weights"
    assert (await client.get(f"{at}/nothing")).json()["code"] == "artifact_not_found"
    for bad in ("%2E%2E%2Fx", ".hidden", "a%00b"):
        assert (await client.put(f"{at}/{bad}", content=b"x", headers=mine)).status_code in (404, 422)


async def test_jobs_are_listed_by_provider(client: httpx.AsyncClient) -> None:
    job_id = (await client.post("/api/training/jobs", json={"command": ["true"]})).json()["job_id"]
    for provider, expected in (("local", [job_id]), ("ray", [])):
        page = (await client.get("/api/training/jobs", params={"provider": provider})).json()
        assert [job["job_id"] for job in page["jobs"]] == expected
