"""The short way to the hot calls answers as the long way does: status, body, headers and metrics."""

import re
from collections.abc import AsyncGenerator

import httpx
import pytest

from skyscale.api import direct
from skyscale.api.app import create_app
from skyscale.api.services import running
from skyscale.settings import Settings
from skyscale.wire.jobs import JobRole
from tests.service.buffer_bench import RUN, spec

JSON = {"content-type": "application/json"}
FINISH = "/api/rl/env/groups/{}/finish"
TICKETS, PUSH, SAMPLE = "/api/rl/env/tickets", "/api/rl/buffer/push", "/api/rl/buffer/sample"
TOKENS = '{"code": "x", "completion_ids": [1], "logprobs": [-0.5], "versions": [0]}'
CALLS: list[tuple[str, str, str, str, dict[str, str]]] = [
    ("POST", TICKETS, "worker", f'{{"run_id": "{RUN}", "request_id": "none", "num_groups": 0}}', JSON),
    ("POST", TICKETS, "worker", '{"run_id": "rl-other", "request_id": "req-1"}', JSON),
    ("POST", TICKETS, "trainer", f'{{"run_id": "{RUN}", "request_id": "req-1"}}', JSON),
    ("POST", TICKETS, "operator", '{"run_id": "rl-none", "request_id": "req-1"}', JSON),
    ("POST", TICKETS, "worker", '{"run_id"', JSON),
    ("POST", TICKETS, "worker", "{}", JSON | {"content-type": "text/plain"}),
    ("POST", TICKETS, "worker", "{}", JSON | {"x-request-id": "mine-1"}),
    ("POST", TICKETS, "stranger", "{}", JSON),
    ("POST", TICKETS + "/", "worker", "{}", JSON),
    ("GET", TICKETS, "operator", "", {}),
    ("POST", FINISH.format("grp-none"), "worker", f'{{"prompt_ids": [], "episodes": [{TOKENS}]}}', JSON),
    ("POST", FINISH.format("g" * 81), "worker", "{}", JSON),
    ("POST", FINISH.format("grp%20x"), "worker", "{}", JSON),
    ("POST", FINISH.format("grp%00x"), "worker", '{"prompt_ids": [], "episodes": []}', JSON),
    ("POST", PUSH, "worker", '{"groups": []}', JSON),
    ("POST", PUSH, "worker", " " * 3000, JSON),
    ("POST", SAMPLE, "trainer", f'{{"run_id": "{RUN}", "num_groups": 1, "lease_s": 5}}', JSON),
    ("POST", SAMPLE, "worker", f'{{"run_id": "{RUN}"}}', JSON),
    ("POST", "/api/jobs/job-worker/heartbeat", "worker", "{}", JSON),
    ("POST", "/api/jobs/job-other/heartbeat", "worker", "{}", JSON),
    ("POST", "/api/jobs/job-worker/heartbeat", "worker", '{"policy_version": 2147483648}', JSON),
    ("POST", "/api/jobs/job-worker/heartbeat", "operator", "{}", JSON),
    ("POST", "/api/training/metrics", "trainer", '{"job_id": "job-trainer", "step": 1}', JSON),
]


@pytest.fixture
def database_url(tmp_path: object) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/test.db"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_body_bytes": 2000})


async def told(settings: Settings) -> AsyncGenerator[tuple[object, ...]]:
    """What each call is answered, and then the requests that were counted."""
    app = create_app(settings)
    parts = app.state.services
    bearers = {
        role: {"authorization": f"Bearer {parts.tokens.issue(f'job-{role}', RUN, JobRole(role), 1)}"}
        for role in ("worker", "trainer")
    } | {"operator": {}, "stranger": {"authorization": "Bearer sjt1.e30.x"}}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with running(parts), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        async with parts.database.write() as connection:
            await parts.buffer.open(connection, spec())
        for method, path, caller, body, headers in CALLS:
            reply = await client.request(method, path, content=body, headers=headers | bearers[caller])
            text = re.sub(r'"request_id":"[0-9a-f]{16}"', '"request_id":"*"', reply.text)
            ids = reply.headers.pop("x-request-id")
            yield path, caller, reply.status_code, text, sorted(reply.headers.items()), len(ids)
        counted = (await client.get("/metrics")).text
        yield tuple(sorted(line for line in counted.splitlines() if line.startswith("skyscale_http_requests_total")))


async def test_the_short_way_answers_as_the_long_way_does(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    short = [each async for each in told(settings)]
    monkeypatch.setattr(direct, "OPERATIONS", frozenset[str]())
    again = settings.model_copy(update={"database_url": f"sqlite+aiosqlite:///{tmp_path}/again.db"})
    long = [each async for each in told(again)]
    for one, other in zip(short, long, strict=True):
        assert one == other
    assert len({each[2] for each in short[:-1]}) >= 7, "the calls differ in their answers"


async def test_the_short_way_is_taken(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it never taken, the comparison above would say nothing."""
    taken: list[str] = []
    find = direct.Direct._find  # pyright: ignore[reportPrivateUsage]

    def noted(self: direct.Direct, scope: dict[str, str]) -> object:
        way, ids = find(self, scope)
        if way is not None:
            taken.append(str(way.route.operation_id))
        return way, ids

    monkeypatch.setattr(direct.Direct, "_find", noted)
    async for _ in told(settings):
        pass
    assert set(taken) == direct.OPERATIONS
