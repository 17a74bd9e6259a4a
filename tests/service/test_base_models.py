"""A run of a model that nobody has is refused when it is created, with what to do."""

import asyncio
import json
import shutil
from pathlib import Path

import httpx
import pytest

from skyscale.starter.location import MODEL_DIR


async def hub(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A Hub that has one model."""
    path = (await reader.readline()).split()[1]
    while (await reader.readline()).strip():
        pass
    status = b"200 OK" if path == b"/api/models/here/small" else b"404 Not Found"
    writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
    await writer.drain()
    writer.close()


async def ask(client: httpx.AsyncClient, name: str) -> httpx.Response:
    return await client.post("/api/rl/runs", json={"base_model": name, "dry_run": True})


async def test_the_hub_is_asked_for_a_model_that_is_not_cached(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await asyncio.start_server(hub, "127.0.0.1", 0)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        assert (await ask(client, "here/small")).status_code == 200
        missing = await ask(client, "nobody/has-this")
    assert (missing.status_code, missing.json()["code"]) == (422, "model_not_found")
    silent = await ask(client, "nobody/has-this")
    assert (silent.status_code, silent.json()["code"]) == (422, "model_unreachable")
    assert "skyscale/starter" in silent.json()["hint"]


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./missing", "no spaces allowed/x", "plain"])
async def test_a_folder_without_a_model_and_a_name_that_is_none_are_refused(
    client: httpx.AsyncClient, name: str
) -> None:
    assert (await ask(client, name)).status_code == 422


@pytest.mark.parametrize(
    ("spoil", "code"),
    [("chat_template.jinja", "no_chat_template"), ("tokenizer.json", "tokenizer_unsupported")],
)
async def test_a_folder_that_could_not_be_played_with_is_refused_with_what_to_do(
    client: httpx.AsyncClient, tmp_path: Path, spoil: str, code: str
) -> None:
    folder = Path(shutil.copytree(MODEL_DIR, tmp_path / "model"))
    assert (await ask(client, str(folder))).status_code == 200
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"chat_template": None}))
    (folder / spoil).unlink(missing_ok=True)
    answer = await ask(client, str(folder))
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert "into the folder" in answer.json()["hint"]


async def test_a_contradictory_algorithm_is_refused_at_creation(client: httpx.AsyncClient) -> None:
    body = {"algorithm": {"proximal": "engine"}, "dry_run": True}
    answer = await client.post("/api/rl/runs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "algorithm_contradiction")
    fixed = await client.post("/api/rl/runs", json={"algorithm": {"name": "dapo"}, "dry_run": True})
    assert (fixed.status_code, fixed.json()["spec"]["algorithm"]["overlong"]) == (200, "penalty")
