"""Published versions over HTTP and by command: what is listed, what is fetched, what reaches the Hub."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from skyscale.api.app import create_app
from skyscale.api.services import Services, build
from skyscale.artifacts.store import open_store
from skyscale.artifacts.versions import publish_version
from skyscale.cli.hub import push
from skyscale.cli.main import run as skyscale
from skyscale.errors import Forbidden, Invalid, ProtocolError, Unauthorized, Unavailable
from skyscale.sdk.client import AsyncClient
from skyscale.settings import Settings
from skyscale.store.migrate import upgrade
from skyscale.wire.jobs import JobRole
from skyscale.wire.runs import RunCreated
from tests.contract.s3_server import BUCKET, SECRET_KEY, S3Server, environment, s3_server
from tests.service.hub_server import TOKEN, Hub, hub_server

RUN = "rl-kept"


@pytest.fixture(scope="module")
def bucket() -> Generator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, bucket: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    if request.param == "folder":
        return Settings(data_dir=tmp_path / "data")
    for name, value in environment(bucket).items():
        monkeypatch.setenv(name, value)
    return Settings(data_dir=tmp_path / "data", s3_bucket=f"{BUCKET}/{tmp_path.name.strip('_')}")


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


@pytest.fixture
async def url(app: FastAPI) -> AsyncGenerator[str]:
    """The app on a loopback port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    server.config.load()
    sockets = [server.config.bind_socket()]
    port = sockets[0].getsockname()[1]
    serving = asyncio.create_task(server.serve(sockets))
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


async def publish(client: httpx.AsyncClient, settings: Settings, folder: Path, versions: int) -> None:
    """A run that has published so many versions, all of which are kept."""
    assert (await client.post("/api/rl/runs", json={"run_id": RUN})).status_code == 202
    folder.mkdir()  # noqa: ASYNC240 - a test's own folder
    store = open_store(settings.artifact_root)
    for version in range(1, versions + 1):
        (folder / "model.safetensors").write_bytes(b"weights of %d" % version)
        (folder / "config.json").write_text("{}")
        made = publish_version(store, run_id=RUN, version=version, parent=version - 1, folder=folder)
        body = {
            "version": version, "parent": version - 1, "manifest_uri": made.manifest_uri,
            "manifest_sha256": made.manifest_sha256,
        }  # fmt: skip
        assert (await client.post(f"/api/rl/runs/{RUN}/policies", json=body)).status_code == 200
    store.put_bytes(f"runs/{RUN}/versions/v{versions:06d}/README.md", b"---\nlicense: mit\n---\n# A model")


async def test_versions_are_listed_and_their_files_fetched(
    client: httpx.AsyncClient, settings: Settings, tmp_path: Path
) -> None:
    await publish(client, settings, tmp_path / "v", 2)
    kept = (await client.get(f"/api/rl/runs/{RUN}/checkpoints")).json()["checkpoints"]
    assert [each["version"] for each in kept] == [2, 1]
    assert [each["is_newest"] for each in kept] == [True, False]
    assert kept[0]["size_bytes"] == len(b"weights of 2") + 2
    assert {file["name"] for file in kept[0]["files"]} == {"model.safetensors", "config.json", "README.md"}
    assert kept[0]["uri"].startswith(settings.artifact_root)

    answer = await client.get(f"/api/rl/runs/{RUN}/checkpoints/2/files/model.safetensors")
    if settings.s3_bucket is None:
        assert answer.content == b"weights of 2"
        part = await client.get(answer.request.url, headers={"Range": "bytes=8-"})
        assert (part.status_code, part.content) == (206, b"of 2")
    else:
        assert answer.status_code == 307
        async with httpx.AsyncClient(trust_env=False) as stranger:
            assert (await stranger.get(answer.headers["location"])).content == b"weights of 2"


async def test_keys_of_the_store_go_to_those_who_need_them_and_to_nobody_else(
    client: httpx.AsyncClient, settings: Settings, parts: Services
) -> None:
    made = RunCreated.model_validate((await client.post("/api/rl/runs", json={"run_id": RUN})).json())
    for role in (JobRole.POLICY, JobRole.TRAINER, JobRole.WORKER):
        async with parts.database.write() as connection:
            job_id = await parts.jobs.create_for_run(connection, made.spec, role, 0, held=False)
        path, token = f"/api/jobs/{job_id}/assignment", parts.tokens.issue(job_id, RUN, role, 0)
        answer = await client.get(path, headers={"Authorization": f"Bearer {token}"})
        is_told = settings.s3_bucket is not None and role is not JobRole.WORKER
        assert (answer.json()["artifact_settings"].get("S3_SECRET_KEY") == SECRET_KEY) == is_told
        assert SECRET_KEY not in (await client.get(path)).text, "an operator is no job"


async def test_what_is_not_there_is_told(client: httpx.AsyncClient, settings: Settings, tmp_path: Path) -> None:
    assert (await client.get("/api/rl/runs/rl-none/checkpoints")).status_code == 404
    await publish(client, settings, tmp_path / "v", 1)
    for path, code in (("9", "version_not_found"), ("1/files/x", "file_not_found")):
        answer = await client.get(f"/api/rl/runs/{RUN}/checkpoints/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, code)
    for path in ("0", "1/files/..%2F..%2Fsecrets", "1/files/.incoming"):
        assert (await client.get(f"/api/rl/runs/{RUN}/checkpoints/{path}")).status_code in (404, 422)


async def test_a_version_that_was_never_announced_is_not_listed(
    client: httpx.AsyncClient, settings: Settings, tmp_path: Path
) -> None:
    await publish(client, settings, tmp_path / "v", 1)
    publish_version(open_store(settings.artifact_root), run_id=RUN, version=2, parent=1, folder=tmp_path / "v")
    kept = (await client.get(f"/api/rl/runs/{RUN}/checkpoints")).json()["checkpoints"]
    assert [each["version"] for each in kept] == [1]


async def test_a_pull_is_verified_and_goes_on_where_it_was(
    client: httpx.AsyncClient, settings: Settings, tmp_path: Path, url: str
) -> None:
    await publish(client, settings, tmp_path / "v", 1)
    into = tmp_path / "into"
    into.mkdir()
    (into / "model.safetensors.part").write_bytes(b"weights")
    came: dict[str, int] = {}

    def tell(name: str, size: int) -> None:
        came[name] = came.get(name, 0) + size

    async with AsyncClient(url) as sdk:
        await sdk.pull_checkpoint(RUN, 1, into, tell)
    assert (into / "model.safetensors").read_bytes() == b"weights of 1"
    assert came["model.safetensors"] == len(b" of 1"), "the first part is not fetched again"
    assert {path.name for path in into.iterdir()} == {"model.safetensors", "config.json", "README.md"}

    (into / "model.safetensors").unlink()
    (into / "model.safetensors.part").write_bytes(b"WEIGHTS")
    async with AsyncClient(url) as sdk:
        with pytest.raises(ProtocolError, match="damaged"):
            await sdk.pull_checkpoint(RUN, 1, into)
        await sdk.pull_checkpoint(RUN, 1, into)
    assert (into / "model.safetensors").read_bytes() == b"weights of 1"


async def test_a_version_is_pushed_to_the_hub_by_one_command(
    client: httpx.AsyncClient, settings: Settings, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(client, settings, tmp_path / "v", 2)
    with hub_server() as hub:
        point_at(hub, monkeypatch)
        command = ["checkpoints", "push-hub", RUN, "somebody/solver", "--private", "--version", "2", "--url", url]
        assert await asyncio.to_thread(skyscale, command) == 0
        files = hub.repos["somebody/solver"]
        assert files["model.safetensors"] == b"weights of 2"
        assert set(files) == {"model.safetensors", "config.json", "README.md"}
        assert hub.private == {"somebody/solver"}
        assert RUN in hub.messages[0]


def point_at(hub: Hub, monkeypatch: pytest.MonkeyPatch, token: str = TOKEN) -> None:
    """The Hub's client reads its environment when it is imported, which may have been long ago."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", hub.url)
    monkeypatch.setenv("HF_TOKEN", token)


def test_the_hubs_refusals_are_told_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    with hub_server() as hub:
        point_at(hub, monkeypatch, token="hf_wrong")
        with pytest.raises(Unauthorized, match="401"):
            push(tmp_path, "somebody/solver", message="x", private=False)
        point_at(hub, monkeypatch)
        hub.refuse = 403
        with pytest.raises(Forbidden, match="rights"):
            push(tmp_path, "somebody/solver", message="x", private=False)
        with pytest.raises(Invalid, match="REPO"):
            push(tmp_path, "no/such/shape", message="x", private=False)
    with pytest.raises(Unavailable, match="does not answer"):
        push(tmp_path, "somebody/solver", message="x", private=False)


def test_a_control_plane_that_is_not_there_is_told_with_what_starts_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert skyscale(["checkpoints", "list", RUN, "--url", "http://127.0.0.1:9"]) == 1
    assert "skyscale serve" in capsys.readouterr().err
