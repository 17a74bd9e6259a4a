"""Whatever is sent to whichever route, the answer is no 500 and every error has the one shape."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from skyscale.api.app import create_app
from skyscale.settings import Settings

HUGE = 10**40
BODIES: list[bytes] = [
    b"", b"{", b"[]", b"null", b'"text"', b"{}", b'{"unknown": 1}', b"\xff\xfe", b'{"run_id": "\\ud800"}',
    b'{"run_id": "rl-none\\u0000"}', b'{"run_id": 7, "job_id": 7, "url": 7, "version": "x", "message": []}',
    b'{"run_id": "rl-none", "lease_id": "x", "request_id": "aaaa", "sandbox_id": "x", "code": "x"}',
    b'{"job_id": "rl-none", "step": %d, "version": %d, "parent": %d}' % (HUGE, HUGE, HUGE),
    b'{"num_workers": -1, "max_steps": 0, "seed": -5, "step": -1, "batch_size": -1}',
    b'{"message": "a\\u0000b", "data": {"deep": ' + b"[" * 200 + b"]" * 200 + b"}}",
    b'{"version": 1, "parent": 0, "manifest_uri": "\\u0000", "manifest_sha256": "' + b"z" * 5000 + b'"}',
    b'{"problem_set": "/", "base_model": "/nowhere", "run_id": "rl-bad"}',
    b'{"problem_set": "a\\u0000b", "run_id": "rl-bad"}', b'{"base_model": "/\\u0000", "run_id": "rl-bad"}',
    b'{"url": "http://[::1"}', b'{"url": "http://127.0.0.1:99999"}',
]  # fmt: skip
IDS = ["rl-none", "%00", "%2e%2e", "a" * 300, "%F0%9F%A6%99", "rl-none%0A"]
QUERIES: list[dict[str, Any]] = [
    {"limit": "0"}, {"limit": "x"}, {"limit": str(HUGE)}, {"after": "-1"}, {"after": str(HUGE)}, {"cursor": "!!"},
    {"cursor": "MjAyNi0wMS0wMSBybC14"}, {"cursor": "\x00"}, {"status": "nonsense"}, {"run_id": "\x00"}, {"run_id": ""},
    {"difficulty": "x"}, {"role": "x"}, {"stream": "perhaps"}, {"split": "x"}, {"family": "\x00"},
]  # fmt: skip


def assert_shape(answer: httpx.Response, what: object) -> None:
    assert answer.status_code < 500 or answer.json()["code"] != "internal_error", (what, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", (what, answer.text)
        body = answer.json()
        assert set(body) == {"status", "code", "detail", "hint", "request_id"}, what
        assert (body["status"], body["request_id"]) == (answer.status_code, answer.headers["x-request-id"])
        assert all(body.values()), what


def paths(app: FastAPI) -> list[tuple[str, str]]:
    document = app.openapi()["paths"]
    return sorted((method.upper(), path) for path, operations in document.items() for method in operations)


def filled(path: str, value: str) -> str:
    names = "run_id job_id group_id problem_id version sandbox_id path ref host_id key_id name execution_id"
    names += " deployment_id"
    for name in names.split():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path
    return path


async def test_bad_bodies_are_refused_everywhere(app: FastAPI, client: httpx.AsyncClient) -> None:
    await client.post("/api/rl/runs", json={"run_id": "rl-known"})
    for method, path in paths(app):
        if method != "POST":
            continue
        for body in BODIES:
            for run_id in ("rl-none", "rl-known"):
                raw = body.replace(b"rl-none", run_id.encode())
                answer = await client.post(
                    filled(path, run_id), content=raw, headers={"content-type": "application/json"}
                )
                assert_shape(answer, (path, raw[:80]))
        foreign = await client.post(filled(path, "rl-known"), content=b"a=b", headers={"content-type": "text/plain"})
        assert 400 <= foreign.status_code < 500 or foreign.json()["code"] == "railway_not_configured", path
        assert_shape(foreign, path)


async def test_bad_ids_and_queries_are_refused_everywhere(app: FastAPI, client: httpx.AsyncClient) -> None:
    for method, path in paths(app):
        for bad in IDS if "{" in path else []:
            answer = await client.request(method, filled(path, bad), json={} if method == "POST" else None)
            assert_shape(answer, (method, path, bad))
            assert answer.status_code >= 400, (method, path, bad)
        for query in QUERIES if method == "GET" else []:
            answer = await client.get(filled(path, "rl-none"), params=query)
            assert_shape(answer, (path, query))


async def test_a_path_that_is_not_there_and_a_method_that_is_not_known(client: httpx.AsyncClient) -> None:
    missing, wrong = await client.get("/api/nothing"), await client.put("/api/rl/runs")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert_shape(missing, "404")
    assert_shape(wrong, "405")


async def test_a_request_id_is_taken_over_when_it_is_harmless(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/nothing", headers={"X-Request-Id": "abc-1"})
    assert answer.json()["request_id"] == "abc-1"
    forged = await client.get("/api/nothing", headers={"X-Request-Id": "a b<script>"})
    assert forged.json()["request_id"] != "a b<script>"


class TestSmallLimit:
    @pytest.fixture
    def settings(self, database_url: str, tmp_path: Any) -> Settings:
        return Settings(data_dir=tmp_path / "data", database_url=database_url, max_body_bytes=1000)

    async def test_a_body_over_the_limit_is_refused_whether_its_size_is_announced_or_not(
        self, app: FastAPI, client: httpx.AsyncClient
    ) -> None:
        async def chunks() -> Any:
            for _ in range(20):
                yield b" " * 100

        headers = {"content-type": "application/json"}
        for method, path in paths(app):
            if method == "POST" and path != "/api/rl/problem-sets":  # which has a limit of its own
                announced = await client.post(filled(path, "rl-none"), content=b" " * 1001, headers=headers)
                chunked = await client.post(filled(path, "rl-none"), content=chunks(), headers=headers)
                for answer in (announced, chunked):
                    refused_before_reading = {
                        "job_token_needed", "ticket_not_found", "group_not_found", "railway_not_configured",
                    }  # fmt: skip
                    assert answer.json()["code"] in {"too_large", *refused_before_reading}, (path, answer.text)
                    assert_shape(answer, path)


def test_every_route_is_in_the_document_and_says_what_it_does(tmp_path: Any) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    document = app.openapi()
    routes = [route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) >= len(routes)
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    for operation in operations:
        assert operation["summary"] and operation["description"], operation["operationId"]
    references = {part.split('"')[0] for part in str(document).replace("'", '"').split("#/components/schemas/")[1:]}
    assert references <= set(document["components"]["schemas"])
