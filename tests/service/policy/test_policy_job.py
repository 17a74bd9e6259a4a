"""A policy server as a job: it finds its work over HTTP, follows the pointer, takes reloads, and ends on 410."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import torch
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from skyscale.artifacts.store import open_store
from skyscale.artifacts.versions import publish_version
from skyscale.decoder.checkpoint import load_decoder, save_decoder
from skyscale.wire.jobs import HeartbeatReply, JobAssignment, JobRole
from skyscale.wire.runs import Algorithm, Evaluation, RunSpec, Sampling

TOKEN = "sjt1.a-job-token"
SPEC = RunSpec(
    run_id="rl-test", base_model="acme/tiny", num_workers=1, gpu_model="cpu", provider="local",
    problem_set="embedded", difficulty=None, algorithm=Algorithm(learning_rate=1e-3),
    sampling=Sampling(max_new_tokens=8), evaluation=Evaluation(), mode="async", seed=0, max_steps=None,
    max_hours=None, target_reward=None, max_concurrent_groups=4, checkpoint_every=1, keep_versions=3,
)  # fmt: skip


class Plane:
    """The three calls that a policy job makes, and what it said in them."""

    def __init__(self, model_folder: Path, store: Path) -> None:
        self.model_folder, self.store = model_folder, store
        self.heartbeats: list[dict] = []
        self.url: str | None = None
        self.version, self.manifest_uri, self.is_over = 0, None, False
        self.app = Starlette(
            routes=[
                Route("/api/jobs/job-p/assignment", self.assignment),
                Route("/api/jobs/job-p/heartbeat", self.heartbeat, methods=["POST"]),
                Route("/api/rl/runs/rl-test/policy-server", self.register, methods=["POST"]),
            ]
        )

    async def assignment(self, request: Request) -> JSONResponse:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assignment = JobAssignment(
            job_id="job-p", run_id="rl-test", role=JobRole.POLICY, index=0, attempt=1, spec=SPEC,
            model_path=str(self.model_folder), artifact_root=self.store.as_uri(), heartbeat_s=0.05,
        )  # fmt: skip
        return JSONResponse(assignment.model_dump(mode="json"))

    async def heartbeat(self, request: Request) -> JSONResponse:
        self.heartbeats.append(await request.json())
        if self.is_over:
            return JSONResponse({"status": 410, "code": "gone", "detail": "the run was stopped", "hint": ""}, 410)
        reply = HeartbeatReply(
            desired="run", policy_url=self.url, policy_version=self.version, manifest_uri=self.manifest_uri
        )
        return JSONResponse(reply.model_dump())

    async def register(self, request: Request) -> JSONResponse:
        self.url = (await request.json())["url"]
        return JSONResponse({})

    def publish(self, version: int) -> str:
        """A new version whose weights differ from the base; its manifest's URI."""
        decoder = load_decoder(self.model_folder)
        with torch.no_grad():
            decoder.blocks[0].down.mul_(1.0 + version)
        draft = self.store / f"draft-{version}"
        save_decoder(decoder, draft, self.model_folder)
        store = open_store((self.store / "artifacts").as_uri())
        return publish_version(store, run_id="rl-test", version=version, parent=version - 1, folder=draft).manifest_uri


@asynccontextmanager
async def policy_job(plane: Plane) -> AsyncGenerator[tuple[asyncio.subprocess.Process, httpx.AsyncClient]]:
    config = uvicorn.Config(plane.app, port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    settings = {"SKYSCALE_URL": address, "SKYSCALE_JOB_TOKEN": TOKEN, "SKYSCALE_JOB_ID": "job-p"}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "skyscale.policy", env=os.environ | settings)
    try:
        await until(lambda: plane.url is not None or process.returncode is not None)
        assert plane.url is not None, "the job ended before it registered"
        async with httpx.AsyncClient(base_url=plane.url, trust_env=False) as client:
            yield process, client
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        server.should_exit = server.force_exit = True
        await task


async def until(condition: Callable[[], bool], deadline_s: float = 30.0) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.01)


async def sampled_version(client: httpx.AsyncClient) -> int:
    body = {"model": "acme/tiny", "prompt": "a", "max_tokens": 2, "return_token_ids": True}
    reply = (await client.post("/v1/completions", json=body)).json()
    return reply["choices"][0]["versions"][-1]


async def test_a_policy_job_serves_follows_the_newest_version_and_ends(model_folder: Path, tmp_path: Path) -> None:
    plane = Plane(model_folder, tmp_path)
    async with policy_job(plane) as (process, client):
        assert (await client.get("/health")).json()["model"] == "acme/tiny"
        assert await sampled_version(client) == 0

        # Told: the control plane calls /reload with the job's own token.
        bearer = {"authorization": f"Bearer {TOKEN}"}
        first = {"version": 1, "manifest_uri": plane.publish(1)}
        reply = (await client.post("/reload", json=first, headers=bearer)).json()
        assert reply["version"] == 1
        assert reply["stall_ms"] < 1000
        assert await sampled_version(client) == 1
        again = (await client.post("/reload", json=first, headers=bearer)).json()
        assert (again["version"], again["stall_ms"]) == (1, 0.0)

        # Damaged on its way: refused, and serving goes on with what there was.
        damaged = plane.publish(2)
        weights = tmp_path / "artifacts/runs/rl-test/versions/v000002/model.safetensors"
        weights.chmod(0o644)
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(bytes(content))
        refused = await client.post("/reload", json={"version": 2, "manifest_uri": damaged}, headers=bearer)
        assert refused.status_code == 502
        assert "model.safetensors" in refused.json()["detail"]
        assert await sampled_version(client) == 1

        # Missed: the pointer in the heartbeat's reply is enough.
        plane.manifest_uri, plane.version = plane.publish(3), 3
        await until(lambda: plane.heartbeats[-1].get("policy_version") == 3)
        assert await sampled_version(client) == 3
        assert {"tokens_per_s", "idle_share", "running", "waiting"} <= plane.heartbeats[-1]["metrics"].keys()

        plane.is_over = True
        assert await asyncio.wait_for(process.wait(), 15) == 0


async def test_a_restarted_policy_job_begins_with_the_published_version(model_folder: Path, tmp_path: Path) -> None:
    plane = Plane(model_folder, tmp_path)
    plane.manifest_uri, plane.version = plane.publish(4), 4
    async with policy_job(plane) as (_, client):
        assert await sampled_version(client) == 4
