"""Endpoints: made, called as the world calls them, and shut to whoever may not."""

from pathlib import Path

import httpx
import pytest

from skyscale.settings import Settings

CODE = "def shout(text='', times=1):\n    return text.upper() * int(times)\n"


def make(http: httpx.Client, **more: object) -> httpx.Response:
    body = {"app_name": "My App", "endpoint_name": "Shout!", "code": CODE, "entry": "shout", **more}
    return http.post("/api/deployments", json=body)


def test_an_endpoint_has_an_address_and_its_slug_is_its_own(http: httpx.Client) -> None:
    made = make(http, web={"method": "POST", "path": "/say"})
    assert made.status_code == 201, made.text
    view = made.json()
    assert view["slug"] == "my-app--shout"
    assert view["url"] == f"{http.base_url}/proxy/my-app--shout/say".replace("//proxy", "/proxy")
    called = http.post(view["url"], json={"text": "hi", "times": 2})
    assert (called.status_code, called.json()) == (200, "HIHI")
    execution = http.get(f"/api/executions/{called.headers['x-execution-id']}").json()
    assert execution["function"] == "my-app--shout"
    assert http.get(view["url"]).status_code == 405
    assert http.post("/proxy/my-app--shout/other", json={}).json()["code"] == "endpoint_path_not_found"
    assert http.post("/proxy/nothing/say", json={}).json()["code"] == "endpoint_not_found"
    assert http.post(view["url"], json=[1]).status_code == 422
    assert http.post(view["url"], content=b"{", headers={"content-type": "application/json"}).status_code == 400
    failed = http.post(view["url"], json={"unknown": 1})
    assert (failed.status_code, failed.json()["code"]) == (500, "function_failed")
    assert "TypeError" in failed.json()["detail"]

    assert make(http, web={"method": "POST", "path": "/say"}).json()["id"] == view["id"]
    taken = make(http, app_name="my-app", web={"method": "POST", "path": "/say"})
    assert (taken.status_code, taken.json()["code"]) == (409, "slug_taken")
    assert http.delete("/api/functions/my-app--shout").json()["code"] == "function_in_use"
    replaced = make(http, replace=True, web={"method": "GET", "path": "/"})
    assert replaced.json()["id"] == view["id"]
    assert http.get("/proxy/my-app--shout", params={"text": "hey"}).json() == "HEY"
    listed = [each["slug"] for each in http.get("/api/deployments").json()["deployments"]]
    assert listed.count(view["slug"]) == 1
    assert http.delete(f"/api/deployments/{view['id']}").status_code == 204
    assert http.get("/proxy/my-app--shout").status_code == 404
    assert http.get("/api/functions/my-app--shout").status_code == 404


class TestWithAToken:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return Settings(
            data_dir=tmp_path, dashboard_token="t" * 32, public_base="https://fn.example.org/base/", reads="open"
        )

    async def test_only_public_endpoints_are_open_to_all(self, client: httpx.AsyncClient) -> None:
        owner = {"authorization": "Bearer " + "t" * 32}
        body = {"app_name": "a", "endpoint_name": "b", "code": CODE, "entry": "shout", "web": {"method": "GET"}}
        assert (await client.post("/api/deployments", json=body)).status_code == 401
        made = await client.post("/api/deployments", json=body, headers=owner)
        assert made.json()["url"] == "https://fn.example.org/base/proxy/a--b/"
        assert (await client.get("/proxy/a--b/")).status_code == 401
        assert (await client.get("/proxy/a--b/", headers={**owner, "sec-fetch-site": "cross-site"})).status_code == 403
        assert (await client.get("/proxy/a--b/", params={"text": "x"}, headers=owner)).json() == "X"
        reader = await client.post("/api/keys", json={"name": "r", "scope": "read"}, headers=owner)
        key = {"authorization": f"Bearer {reader.json()['secret']}"}
        assert (await client.get("/proxy/a--b/", headers=key)).status_code == 403
        assert (await client.post("/api/functions/a--b/invoke", json={}, headers=key)).status_code == 403

        public = body | {"replace": True, "web": {"method": "GET", "is_public": True}}
        assert (await client.post("/api/deployments", json=public, headers=owner)).status_code == 201
        assert (await client.get("/proxy/a--b/", params={"text": "x"})).json() == "X"
        failed = await client.get("/proxy/a--b/", params={"times": "no number"})
        assert failed.status_code == 500
        assert "ValueError" not in failed.text, "the reason is the owner's"
        costly = await client.post("/api/deployments", json=public | {"gpu": {}}, headers=owner)
        assert costly.status_code == 422
