"""The read-only pages: there when they are built, for whoever may read, and harmless."""

import base64
import hashlib
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from skyscale.api import pages
from skyscale.api.app import create_app
from skyscale.settings import Settings

SCRIPT = "self.__next_f=[]"
PAGE = f"<!doctype html><script src=/theme.js></script><script id=a>{SCRIPT}</script>"


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """An app with an export of three files."""
    folder = tmp_path / "export"
    for name, content in {
        "index.html": PAGE,
        "faas/index.html": PAGE,
        "404.html": "gone",
        "_next/static/a.js": "1",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    monkeypatch.setattr(pages.install, "__defaults__", (folder,))
    return create_app(Settings(data_dir=tmp_path / "data"))


def client(app: FastAPI, host: str = "127.0.0.1:8080") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}", follow_redirects=True)


async def test_pages_are_served_beside_the_api_with_a_policy(app: FastAPI) -> None:
    mark = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    async with client(app) as http:
        for path in ("/", "/faas", "/faas/"):
            answer = await http.get(path)
            assert (answer.status_code, answer.text) == (200, PAGE), path
            assert f"script-src 'self' 'sha256-{mark}';" in answer.headers["content-security-policy"]
        assert (await http.get("/_next/static/a.js")).headers["cache-control"] == pages.FOR_EVER
        assert (await http.get("/docs")).status_code == 200
        for method, path in (("GET", "/api/account"), ("POST", "/nothing"), ("GET", "/../../etc/passwd")):
            missing = await http.request(method, path)
            assert (missing.status_code, missing.json()["code"]) == (404, "not_found"), path
        shown = await http.get("/faas/nothing", headers={"accept": "text/html,*/*"})
        assert (shown.status_code, shown.text) == (404, "gone")
        assert (await http.post("/", json={})).status_code == 405


async def test_another_name_for_this_machine_sees_nothing(app: FastAPI) -> None:
    async with client(app, "rebound.example") as http:
        assert (await http.get("/faas/")).status_code == 401
