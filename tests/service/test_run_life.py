"""Whole lives of runs: real control plane, real processes, made-up tokens; on both databases."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from skyscale.api.app import create_app
from skyscale.api.listening import listen
from skyscale.api.services import build, running
from skyscale.settings import Settings
from skyscale.wire.jobs import JobRole

ACTORS = str(Path(__file__).with_name("actors.py"))
COMMANDS = dict.fromkeys(JobRole, (sys.executable, ACTORS))
DEADLINE_S = 45.0
SMALL: dict[str, Any] = {
    "run_id": "rl-life", "algorithm": {"group_size": 2, "groups_per_step": 2},
    "evaluation": {"num_problems": 2, "samples_per_problem": 2}, "max_concurrent_groups": 4,
}  # fmt: skip


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=database_url, heartbeat_s=0.2, reconcile_s=0.05)


@contextlib.asynccontextmanager
async def control_plane(
    settings: Settings, commands: Mapping[JobRole, Sequence[str]] = COMMANDS
) -> AsyncGenerator[httpx.AsyncClient]:
    parts = build(settings, commands)
    listener = listen("127.0.0.1", 0)
    parts.address.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(create_app(settings, parts), lifespan="off", log_level="warning"))
    async with running(parts):
        serving = asyncio.create_task(server.serve([listener]))
        try:
            async with httpx.AsyncClient(base_url=parts.address.url, trust_env=False, timeout=20) as http:
                yield http
        finally:
            parts.closing.set()
            server.should_exit = True
            await serving
            listener.close()


async def until(http: httpx.AsyncClient, run_id: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    view: dict[str, Any] = {}
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                view = (await http.get(f"/api/rl/runs/{run_id}")).json()
                if is_so(view):
                    return view
                await asyncio.sleep(0.05)
    except TimeoutError:
        events = (await http.get(f"/api/rl/runs/{run_id}/events")).json()["events"]
        pytest.fail(f"{view}\n" + "\n".join(f"{e['kind']}: {e['message']}" for e in events))


async def kinds(http: httpx.AsyncClient, run_id: str) -> list[str]:
    page = (await http.get(f"/api/rl/runs/{run_id}/events", params={"limit": 1000})).json()
    return [event["kind"] for event in page["events"]]


async def test_a_run_reaches_max_steps_is_evaluated_twice_and_leaves_no_job(settings: Settings) -> None:
    async with control_plane(settings) as http:
        assert (await http.post("/api/rl/runs", json=SMALL | {"max_steps": 3})).status_code == 202
        view = await until(http, "rl-life", lambda view: view["status"] in {"completed", "failed"})
        assert (view["status"], view["policy_version"]) == ("completed", 3), view["reason"]
        assert "max_steps" in view["reason"]
        assert [evaluation["version"] for evaluation in view["evaluations"]] == [0, 3]
        assert view["serving_version"] == 3
        assert view["checkpoint"] == "file:///none/v3"
        assert {p["status"] for p in view["processes"]} <= {"succeeded", "cancelled"}
        assert [point["step"] for point in view["metrics"]] == [1, 2, 3]
        told = await kinds(http, "rl-life")
        order = ["run.created", "policy.registered", "policy.healthy", "run.running", "policy.published"]
        order += ["run.finishing", "run.stopping", "run.completed"]
        assert [told.index(kind) for kind in order] == sorted(told.index(kind) for kind in order)
        assert told.count("policy.published") == 3
        assert told.count("evaluation.finished") == 2


async def test_a_run_that_only_evaluates_trains_nothing_and_completes(settings: Settings) -> None:
    async with control_plane(settings) as http:
        body = SMALL | {"mode": "evaluate", "evaluation": {"num_problems": 3, "samples_per_problem": 4, "ks": [3]}}
        assert (await http.post("/api/rl/runs", json=body)).status_code == 202
        view = await until(http, "rl-life", lambda view: view["status"] in {"completed", "failed"})
        assert view["status"] == "completed", view["reason"]
        (result,) = view["evaluations"]
        assert (result["version"], result["num_problems"], result["num_episodes"]) == (0, 3, 12)
        assert [(each["k"], each["value"]) for each in result["pass_at"]] == [(1, 0.5), (3, 1.0)]
        assert (view["policy_version"], view["trajectories"], view["best_version"]) == (0, 0, 0)
        assert {p["role"] for p in view["processes"]} == {"policy", "worker"} and view["trainer_status"] == "none"
        refused = await http.post("/api/rl/runs", json={"mode": "evaluate", "evaluation": {"num_problems": 0}})
        assert refused.status_code == 422 and "num_problems" in refused.text


async def test_training_goes_on_beside_an_evaluation_and_a_broken_logger_fails_nothing(settings: Settings) -> None:
    settings = settings.model_copy(update={"max_attempts": 1})
    async with control_plane(settings) as http:
        often = {"num_problems": 2, "samples_per_problem": 2, "every_versions": 2}
        body = SMALL | {"max_steps": 8, "evaluation": often, "loggers": ["tensorboard"]}  # actors know no logger
        assert (await http.post("/api/rl/runs", json=body)).status_code == 202
        view = await until(http, "rl-life", lambda view: view["status"] in {"completed", "failed"})
        assert (view["status"], view["policy_version"]) == ("completed", 8), view["reason"]
        evaluated = [result["version"] for result in view["evaluations"]]
        assert evaluated[0] == 0 and evaluated[-1] == 8 and len(evaluated) >= 3
        assert view["best_version"] == 8 and view["best_checkpoint"] == "file:///none/v8"
        assert {p["status"] for p in view["processes"] if p["role"] == "logger"} == {"failed"}


async def test_a_stopped_run_ends_every_process(settings: Settings) -> None:
    async with control_plane(settings) as http:
        await http.post("/api/rl/runs", json=SMALL)
        await until(http, "rl-life", lambda view: view["policy_version"] >= 1)
        assert (await http.delete("/api/rl/runs/rl-life")).status_code == 204
        view = await until(http, "rl-life", lambda view: view["status"] == "stopped")
        assert {p["status"] for p in view["processes"]} == {"cancelled"}
        assert (await http.delete("/api/rl/runs/rl-life")).status_code == 204
        refused = await http.post("/api/rl/runs/rl-life/policy-server", json={"url": "http://127.0.0.1:1"})
        assert (refused.status_code, refused.json()["code"]) == (409, "run_ended")
        assert not _processes_of("-life-")


async def test_a_killed_policy_server_comes_back_and_catches_up(settings: Settings) -> None:
    async with control_plane(settings) as http:
        await http.post("/api/rl/runs", json=SMALL | {"max_steps": 400})
        await until(http, "rl-life", lambda view: view["serving_version"] >= 2)
        (pid,) = _processes_of("job-policy-life-0")
        os.kill(pid, signal.SIGKILL)
        await until(http, "rl-life", lambda view: view["processes"][0]["attempt"] == 2)
        reached = (await until(http, "rl-life", lambda view: view["policy_status"] == "ready"))["policy_version"]
        await until(http, "rl-life", lambda view: view["serving_version"] > reached)
        assert "policy.lost" in await kinds(http, "rl-life")


async def test_a_job_that_fails_for_good_fails_the_run_with_its_reason(settings: Settings) -> None:
    broken = COMMANDS | {JobRole.POLICY: (sys.executable, "-c", "raise SystemExit('no such model')")}
    parts = build(settings.model_copy(update={"max_attempts": 1}), broken)
    async with running(parts):
        transport = httpx.ASGITransport(create_app(settings, parts))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            await http.post("/api/rl/runs", json=SMALL)
            view = await until(http, "rl-life", lambda view: view["status"] == "failed")
            assert "job-policy-life-0" in view["reason"]
            assert "no such model" in view["reason"]
            assert {p["status"] for p in view["processes"]} == {"failed", "cancelled"}


def _processes_of(job_id: str) -> list[int]:
    """Processes of this test's control plane whose environment names the job."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (folder / "environ").read_bytes()
            is_actor = (folder / "cmdline").read_bytes().split(b"\0")[1:2] == [ACTORS.encode()]
            if is_actor and job_id.encode() in environment:
                found.append(int(folder.name))
    return found
