"""The door of the control plane: every route of its description, every kind of credential."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib import import_module
from pkgutil import iter_modules

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr, ValidationError
from starlette.routing import Mount, Route, WebSocketRoute

from skyscale.api.app import create_app
from skyscale.api.services import running
from skyscale.auth.failures import MOST_FAILURES
from skyscale.auth.rules import PUBLIC, SCRAPED
from skyscale.settings import Settings
from skyscale.wire.base import utc_now
from skyscale.wire.jobs import JobRole
from tests.service.test_error_shape import filled, paths

TOKEN = "the-dashboard-token-of-this-test"
ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SAYS_ITSELF = {"/proxy/{slug}", "/proxy/{slug}/{path}"}
"""Endpoints of functions: each says whether the world may call it, and its own tests ask the others."""
CHANGING = {"POST", "PUT", "PATCH", "DELETE"}


@pytest.fixture
def settings(database_url: str, tmp_path) -> Settings:
    """A control plane with a dashboard token."""
    return Settings(data_dir=tmp_path / "data", database_url=database_url, dashboard_token=SecretStr(TOKEN))


@asynccontextmanager
async def caller(
    app: FastAPI, bearer: str | None = None, address: str = "127.0.0.1", **headers: str
) -> AsyncGenerator[httpx.AsyncClient]:
    """A client at this address, with these credentials."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if bearer is not None:
        sent["Authorization"] = f"Bearer {bearer}"
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=sent) as http:
        yield http


def person(role: str, user: str = "ada@example.org") -> dict[str, str]:
    return {"x_skyscale_role": role, "x_skyscale_user": user}


async def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "") if answer.content else ""


async def new_key(app: FastAPI, scope: str, **body: object) -> str:
    async with caller(app, TOKEN) as http:
        made = await http.post("/api/keys", json={"name": scope, "scope": scope} | body)
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    return made.json()["secret"]


@ONE_DATABASE
async def test_every_route_that_changes_state_refuses_an_anonymous_caller(app: FastAPI) -> None:
    changing = [(method, path) for method, path in paths(app) if method in CHANGING]
    assert len(changing) > 20
    async with caller(app) as http:
        for method, path in changing:
            answer = await http.request(method, filled(path, "x-1"), json={})
            assert await code(answer) == (401, "unauthorized"), f"{method} {path} is open"
        unknown = await http.post("/api/nothing/here", json={})
        assert unknown.status_code == 401, "a route that is added later is closed before it exists"


def test_no_route_hides_from_the_description(app: FastAPI) -> None:
    """The tests of this file go by the description: what is not in it must read only, and be no socket."""
    import skyscale.api.routes

    modules = [import_module(f"skyscale.api.routes.{each.name}") for each in iter_modules(skyscale.api.routes.__path__)]
    routes = [route for module in modules if hasattr(module, "router") for route in module.router.routes]
    routes += [route for route in app.routes if isinstance(route, Route | WebSocketRoute | Mount)]
    assert len(routes) > 50
    described = {path for _, path in paths(app)}
    for route in routes:
        assert isinstance(route, Route), f"{route} is no plain route: say here why nobody changes anything by it"
        path = re.sub(r":\w+}", "}", route.path)
        assert not (route.methods or set()) & CHANGING or path in described | SAYS_ITSELF, path


@ONE_DATABASE
async def test_every_route_that_changes_state_refuses_a_key_that_may_only_read(app: FastAPI) -> None:
    async with caller(app, await new_key(app, "read")) as http:
        for method, path in paths(app):
            answer = await http.request(method, filled(path, "x-1"), json={})
            if method in CHANGING and not path.startswith("/api/keys"):
                assert await code(answer) == (403, "insufficient_scope"), f"{method} {path}"
            elif method not in CHANGING:
                assert answer.status_code not in (401, 403), f"{method} {path}"


@ONE_DATABASE
@pytest.mark.parametrize(("reads", "host", "is_open"), [
    ("local", "127.0.0.1:8080", True), ("local", "rebound.example", False), ("open", "sky.example", True),
    ("guarded", "127.0.0.1:8080", False),
])  # fmt: skip
async def test_reading_without_credentials_is_a_setting(
    settings: Settings, reads: str, host: str, is_open: bool
) -> None:
    app = create_app(settings.model_copy(update={"reads": reads}))
    async with running(app.state.services), caller(app, host=host) as http:
        for method, path in paths(app):
            if method in CHANGING:
                continue
            answer = await http.get(filled(path, "1" if "version" in path else "x-1"))
            is_public = path in PUBLIC or (path in SCRAPED and reads != "guarded")
            needs_more = answer.status_code == 401 and path.startswith(
                ("/api/sandboxes", "/api/jobs", "/api/keys", "/api/executions", "/api/services")
            )
            assert (answer.status_code != 401) == (is_open or is_public) or needs_more, f"{path}: {answer.status_code}"
        assert (await http.get("/health")).status_code == 200


@ONE_DATABASE
async def test_without_a_token_only_this_machine_by_its_own_name_reads_and_changes(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"dashboard_token": None}))
    async with running(app.state.services):
        refused: list[dict[str, str]] = [
            {"address": "192.0.2.7"}, {"host": "rebound.example"}, {"origin": "https://evil.example"},
            {"x_forwarded_for": "192.0.2.7"},
        ]  # fmt: skip
        for strange in refused:
            async with caller(app, **strange) as http:
                assert (await http.post("/api/rl/runs", json={"dry_run": True})).status_code == 401, strange
                assert (await http.get("/api/rl/runs")).status_code == 401, strange
        async with caller(app) as http:
            assert (await http.post("/api/rl/runs", json={"dry_run": True})).status_code == 200
            assert (await http.get("/api/whoami")).json()["scope"] == "admin"
        async with caller(app, **person("viewer")) as http:
            assert await code(await http.post("/api/rl/runs", json={})) == (403, "insufficient_scope")
        async with caller(app, "a token of the dashboard's", **person("admin")) as http:
            assert await code(await http.get("/api/rl/runs")) == (401, "dashboard_token_unset")


@ONE_DATABASE
async def test_a_token_mismatch_is_said_plainly(app: FastAPI) -> None:
    async with caller(app, TOKEN + "x", **person("admin")) as http:
        answer = await http.post("/api/rl/runs", json={})
        assert await code(answer) == (401, "dashboard_token_mismatch")
        assert "SKYSCALE_DASHBOARD_TOKEN" in answer.json()["hint"]
    async with caller(app) as http:
        odd = {"Authorization": b"Bearer \xff\xfe"}
        assert await code(await http.get("/api/rl/runs", headers=odd)) == (401, "invalid_token")


@ONE_DATABASE
async def test_a_role_narrows_what_the_dashboard_may_do_for_somebody(app: FastAPI) -> None:
    async with caller(app, TOKEN, **person("viewer")) as http:
        assert (await http.get("/api/rl/runs")).status_code == 200
        assert await code(await http.post("/api/rl/runs", json={})) == (403, "insufficient_scope")
        assert (await http.get("/api/whoami")).json()["user"] == "ada@example.org"
    async with caller(app, TOKEN, **person("operator")) as http:
        assert (await http.post("/api/rl/runs", json={"dry_run": True})).status_code == 200
    async with caller(app, TOKEN, **person("root")) as http:
        assert await code(await http.get("/api/rl/runs")) == (403, "unknown_role")
    # Nobody gets a role by naming it.
    async with caller(app, **person("admin")) as http:
        assert (await http.post("/api/rl/runs", json={"dry_run": True})).status_code == 401
    async with caller(app, await new_key(app, "read"), **person("admin")) as http:
        assert (await http.get("/api/whoami")).json()["scope"] == "read"


async def test_keys_live_from_making_to_revoking(app: FastAPI) -> None:
    secret = await new_key(app, "operate")
    async with caller(app, secret) as http:
        assert (await http.post("/api/rl/runs", json={"dry_run": True})).status_code == 200
        assert await code(await http.post("/api/keys", json={"name": "child"})) == (403, "insufficient_scope")
        who = (await http.get("/api/whoami")).json()
        assert (who["kind"], who["scope"], who["user"]) == ("operator", "operate", "operator")
    async with caller(app, TOKEN) as http:
        (listed,) = (await http.get("/api/keys")).json()["keys"]
        assert secret not in str(listed) and secret.startswith(listed["start"])
        assert listed["last_used_at"] is not None
        assert (await http.delete(f"/api/keys/{who['key_id']}")).status_code == 204
        assert (await http.delete(f"/api/keys/{who['key_id']}")).status_code == 204
        assert await code(await http.delete("/api/keys/key-none")) == (404, "key_not_found")
    async with caller(app, secret) as http:
        assert await code(await http.get("/api/rl/runs")) == (401, "revoked_api_key")
    async with caller(app, "sky_" + "a" * 43) as http:
        assert await code(await http.get("/api/rl/runs")) == (401, "invalid_api_key")


async def test_a_person_makes_and_sees_keys_up_to_their_role(app: FastAPI) -> None:
    async with caller(app, TOKEN, **person("viewer")) as http:
        assert await code(await http.post("/api/keys", json={"name": "k", "scope": "operate"})) == (
            403,
            "insufficient_scope",
        )
        made = await http.post("/api/keys", json={"name": "k", "scope": "read"})
        assert (made.status_code, made.json()["key"]["owner"]) == (201, "ada@example.org")
    key_id = made.json()["key"]["key_id"]
    async with caller(app, TOKEN, **person("operator", "bob@example.org")) as http:
        assert (await http.get("/api/keys")).json()["keys"] == []
        assert await code(await http.delete(f"/api/keys/{key_id}")) == (404, "key_not_found")
    async with caller(app, TOKEN, **person("admin", "eve@example.org")) as http:
        assert [key["key_id"] for key in (await http.get("/api/keys")).json()["keys"]] == [key_id]
    async with caller(app, made.json()["secret"]) as http:
        assert (await http.delete(f"/api/keys/{key_id}")).status_code == 204, "a key may always end itself"


async def test_a_key_expires(app: FastAPI) -> None:
    secret = await new_key(app, "admin", expires_in_days=1)
    async with caller(app, secret) as http:
        assert (await http.get("/api/rl/runs")).status_code == 200
        app.state.services.keys._now = lambda: utc_now() + timedelta(days=1, seconds=1)
        assert await code(await http.get("/api/rl/runs")) == (401, "expired_api_key")


@ONE_DATABASE
async def test_a_guesser_is_slowed_down_and_locks_nobody_out(app: FastAPI) -> None:
    secret = await new_key(app, "operate")
    worker = app.state.services.tokens.issue("job-1", "rl-1", JobRole.WORKER, 1)
    async with caller(app, secret) as http:
        assert (await http.get("/api/rl/runs")).status_code == 200
    for attempt in range(MOST_FAILURES + 1):
        async with caller(app, f"guess-{attempt}") as http:
            answer = await http.get("/api/rl/runs")
    assert await code(answer) == (429, "too_many_failures")
    assert 0 < int(answer.headers["retry-after"]) <= 60
    other = await new_key_from_elsewhere(app)
    for right, status in ((secret, 200), (TOKEN, 200), (worker, 403), (other, 429)):
        async with caller(app, right) as http:
            assert (await http.get("/api/rl/runs")).status_code == status
    async with caller(app, other, address="192.0.2.9") as http:
        assert (await http.get("/api/rl/runs")).status_code == 200


async def new_key_from_elsewhere(app: FastAPI) -> str:
    async with caller(app, TOKEN, address="192.0.2.8") as http:
        return (await http.post("/api/keys", json={"name": "k"})).json()["secret"]


@ONE_DATABASE
async def test_job_tokens_open_what_they_opened(app: FastAPI) -> None:
    worker = app.state.services.tokens.issue("job-1", "rl-1", JobRole.WORKER, 1)
    async with caller(app, worker) as http:
        assert (await http.get("/api/rl/runs/rl-1")).status_code == 404
        assert (await http.get("/api/rl/runs/rl-2")).status_code == 403
        assert (await http.post("/api/keys", json={"name": "k"})).status_code == 403
        assert (await http.get("/api/keys")).status_code == 403
    async with caller(app, worker[:-1] + ("A" if worker[-1] != "A" else "B")) as http:
        assert await code(await http.get("/api/rl/runs/rl-1")) == (401, "invalid_token")


def test_a_token_that_can_be_guessed_is_refused_beyond_loopback(tmp_path) -> None:
    with pytest.raises(ValidationError, match="16 characters"):
        Settings(data_dir=tmp_path, host="0.0.0.0", dashboard_token=SecretStr("short"))
    assert Settings(data_dir=tmp_path, host="0.0.0.0", dashboard_token=SecretStr("x" * 16)).reads == "local"


def test_no_route_asks_who_calls_by_itself() -> None:
    """The header is read in one place, so that there is one place to get it right."""
    from pathlib import Path

    import skyscale.api.routes

    for source in Path(skyscale.api.routes.__path__[0]).glob("*.py"):
        if source.name == "sandbox_hosts.py":
            continue  # compares SKYSCALE_HOST_TOKEN, which is no caller's credential
        assert not re.search(r"headers.*authorization", source.read_text(), re.IGNORECASE), source.name
