"""Functions on both databases: what is kept, taken over, and forgotten."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from skyscale.functions.calls import queries
from skyscale.functions.calls.queries import Execution
from skyscale.wire.base import utc_now
from skyscale.wire.functions import ExecutionStatus

DEADLINE_S = 30.0


async def ended(client: httpx.AsyncClient, execution_id: str) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            view = (await client.get(f"/api/executions/{execution_id}")).json()
            if view["status"] not in ("queued", "running"):
                return view
            await asyncio.sleep(0.05)


async def test_calls_are_kept_and_paged(client: httpx.AsyncClient) -> None:
    code = "def handler(e):\n    print('\\x00 and \\ud800'.encode('utf-8', 'surrogatepass'))\n    return e\n"
    for name in ("b", "a"):
        assert (await client.post("/api/functions", json={"name": name, "code": code})).status_code == 200
    ids = [
        (await client.post("/api/functions/a/invoke", json={"input": n, "sync": n % 2 == 0})).json()["execution_id"]
        for n in range(4)
    ]
    assert [(await ended(client, each))["output"] for each in ids] == [0, 1, 2, 3]
    page = (await client.get("/api/executions", params={"limit": 3})).json()
    rest = (await client.get("/api/executions", params={"cursor": page["next_cursor"]})).json()
    assert sorted(each["execution_id"] for each in page["executions"] + rest["executions"]) == sorted(ids)
    first = (await client.get("/api/functions", params={"limit": 1})).json()
    assert ([each["name"] for each in first["functions"]], first["next_cursor"]) == (["a"], "a")
    second = (await client.get("/api/functions", params={"cursor": "a"})).json()
    assert ([each["name"] for each in second["functions"]], second["next_cursor"]) == (["b"], None)
    metrics = (await client.get("/metrics")).text
    assert 'skyscale_function_calls_total{status="completed"} 4.0' in metrics


async def test_rows_of_a_holder_whose_lease_lapsed_are_taken_over_or_lost(
    client: httpx.AsyncClient, app: FastAPI
) -> None:
    code = "def handler(e):\n    return e\n"
    version = (await client.post("/api/functions", json={"name": "f", "code": code})).json()["version"]
    now, parts = utc_now(), app.state.services
    rows = [
        Execution(
            execution_id=f"fx-{name}", function="f", version=version, holder=f"{host}:1:cp-1", input='"in"',
            status=status, lease_until=now + timedelta(seconds=lease_s), created_at=now,
        )
        for name, host, status, lease_s in (
            ("queued", "elsewhere", ExecutionStatus.QUEUED, -1), ("running", "elsewhere", ExecutionStatus.RUNNING, -1),
            ("theirs", "elsewhere", ExecutionStatus.RUNNING, 600),
        )
    ]  # fmt: skip
    async with parts.database.write() as connection:
        await queries.insert_new(connection, rows)
    await parts.functions.calls.adopt()
    assert (await ended(client, "fx-queued"))["output"] == "in"
    assert (await ended(client, "fx-running"))["status"] == "lost"
    assert (await client.get("/api/executions/fx-theirs")).json()["status"] == "running"


async def test_layers_stay_while_a_version_needs_them(
    client: httpx.AsyncClient, app: FastAPI, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    parts = app.state.services
    folder = parts.settings.data_dir / "function-layers"
    body = {"name": "g", "code": "def handler(e): ...", "requirements": ["greeting"]}
    assert (await client.post("/api/functions", json=body)).status_code == 200
    (folder / ".making-left").mkdir()
    await parts.functions.registry.start()
    assert [path.suffix for path in folder.iterdir()] == [".zip"]
    await client.delete("/api/functions/g")
    await parts.functions.registry.start()
    assert list(folder.iterdir()) == []
