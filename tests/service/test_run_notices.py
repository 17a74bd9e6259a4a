"""What a run is told of its surroundings: missing isolation, and problems that are left out as they can be cheated."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from skyscale.api.app import create_app
from skyscale.api.services import Services, build
from skyscale.envs.registry import load_problem_set
from skyscale.settings import HostSettings, Settings
from skyscale.store.migrate import upgrade
from skyscale.wire.episodes import TicketRequest
from skyscale.wire.hosts import HostReport
from tests.service.buffer_bench import spec

WEAK_CHECK = "def check(candidate):\n    assert candidate.__name__ == 'f'\n"
PROBLEM: dict[str, Any] = {"prompt": "p", "difficulty": "easy", "entry_point": "f"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Over SQLite: which database it is makes no difference here."""
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
async def parts(settings: Settings) -> AsyncGenerator[Services]:
    """The parts without their reconcilers: a run is created and nothing more happens."""
    services = build(settings)
    await upgrade(services.database)
    yield services
    await services.hosts.stop()
    await services.http.aclose()
    await services.database.close()


@pytest.fixture
def app(settings: Settings, parts: Services) -> FastAPI:
    return create_app(settings, parts)


def problem_file(folder: Path, *, num_strong: int, num_weak: int) -> str:
    """Train problems of both kinds, and a weak and a strong held-out one."""
    rows = [_strong(f"s{i}", "train") for i in range(num_strong)] + [_weak(f"w{i}", "train") for i in range(num_weak)]
    rows += [_strong("sh", "heldout"), _weak("wh", "heldout")]
    path = folder / f"set-{num_strong}-{num_weak}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def _strong(name: str, split: str) -> dict[str, Any]:
    tests = ["assert f(1) == 1"]
    return PROBLEM | {"id": name, "family": name, "split": split, "style": "calls", "test_cases": tests}


def _weak(name: str, split: str) -> dict[str, Any]:
    body = {
        "id": name,
        "family": name,
        "split": split,
        "style": "asserts",
        "test_code": WEAK_CHECK,
        "trust": "weak",
        "num_examples": 0,
    }
    return PROBLEM | body


async def create(client: httpx.AsyncClient, run_id: str, **body: object) -> httpx.Response:
    return await client.post("/api/rl/runs", json={"run_id": run_id, **body})


async def events(client: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    page = (await client.get(f"/api/rl/runs/{run_id}/events", params={"format": "json"})).json()
    return {event["kind"]: event for event in page["events"]}


async def test_weak_problems_are_left_out_of_training_and_the_run_says_so(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    problem_set = problem_file(tmp_path, num_strong=2, num_weak=3)
    made = await create(client, "rl-strict", problem_set=problem_set)
    assert (made.status_code, made.json()["spec"]["allow_weak_trust"]) == (202, False)
    told = (await events(client, "rl-strict"))["problems.weak_trust"]
    assert told["data"] == {
        "num_weak_train": 3, "num_weak_heldout": 1, "num_train": 5, "allow_weak_trust": False,
    }  # fmt: skip
    assert told["level"] == "info" and "3 of 5" in told["message"] and "left out" in told["message"]
    await create(client, "rl-lax", problem_set=problem_set, allow_weak_trust=True)
    told = (await events(client, "rl-lax"))["problems.weak_trust"]
    assert told["level"] == "warning" and "are trained on" in told["message"]
    only_weak = problem_file(tmp_path, num_strong=0, num_weak=3)
    refused = await create(client, "rl-none", problem_set=only_weak)
    assert (refused.status_code, refused.json()["code"]) == (422, "only_weak_trust")
    assert "allow_weak_trust" in refused.json()["hint"]
    assert (await create(client, "rl-none", problem_set=only_weak, allow_weak_trust=True)).status_code == 202
    problems = load_problem_set(problem_set)
    assert [p.id for p in problems.train("easy")] == ["s0", "s1"]
    assert len(problems.train("easy", allow_weak=True)) == 5
    await create(client, "rl-clean")
    assert "problems.weak_trust" not in await events(client, "rl-clean")


async def test_tickets_are_for_weak_problems_only_where_the_run_allows_it(parts: Services, tmp_path: Path) -> None:
    problem_set = problem_file(tmp_path, num_strong=2, num_weak=6)
    seen: list[set[str]] = []
    for run_id, is_allowed in (("rl-strict", False), ("rl-lax", True)):
        more = {"problem_set": problem_set, "allow_weak_trust": is_allowed}
        async with parts.database.write() as connection:
            await parts.buffer.open(connection, spec(**more).model_copy(update={"run_id": run_id}))
        asked = TicketRequest(run_id=run_id, request_id="req-1", num_groups=8)
        seen.append({group.problem_id for group in (await parts.episodes.tickets(asked)).groups})
    assert seen[0] == {"s0", "s1"}
    assert any(name.startswith("w") for name in seen[1])


async def test_listings_count_and_mark_weak_problems(
    client: httpx.AsyncClient, parts: Services, tmp_path: Path
) -> None:
    page = parts.missions.page(problem_set=problem_file(tmp_path, num_strong=2, num_weak=3), limit=3)
    assert (page.num_problems, page.num_weak, len(page.problems)) == (7, 4, 3)
    assert [problem.trust for problem in page.problems] == ["strong", "strong", "weak"]
    shown = (await client.get("/api/rl/env/problems", params={"limit": 1})).json()
    assert (shown["num_weak"], shown["problems"][0]["trust"], shown["num_problems"] > 100) == (0, "strong", True)


async def test_missing_layers_are_an_event_of_each_run(client: httpx.AsyncClient, parts: Services) -> None:
    await create(client, "rl-before")
    assert "sandbox.layers_missing" not in await events(client, "rl-before")
    layers = {"seccomp": "no: not built in", "landlock": "no: old kernel", "pid namespace": "yes", "python": "3.11"}
    report = HostReport(
        name="far", url="http://127.0.0.1:1", version="0", slots=1, backend="process", layers=layers
    )  # fmt: skip
    await parts.hosts.report("sbh-far1", report)
    await create(client, "rl-weak")
    told = (await events(client, "rl-weak"))["sandbox.layers_missing"]
    assert told["data"]["missing"] == {"far": ["landlock", "seccomp"]}
    assert told["data"]["needed"] == {"far": ["seccomp"]}
    assert told["data"]["reasons"]["far"]["seccomp"] == "no: not built in"
    assert told["level"] == "warning"
    await parts.hosts.report("sbh-far1", report.model_copy(update={"layers": layers | {"seccomp": "yes"}}))
    await create(client, "rl-nearly")
    assert (await events(client, "rl-nearly"))["sandbox.layers_missing"]["level"] == "info"


def test_the_policy_of_missing_layers_depends_on_who_may_reach_us(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).may_lack_layers
    assert not Settings(data_dir=tmp_path, host="0.0.0.0", insecure=True).may_lack_layers
    assert not Settings(data_dir=tmp_path, sandbox_missing_layers="refuse").may_lack_layers
    assert Settings(data_dir=tmp_path, host="0.0.0.0", insecure=True, sandbox_missing_layers="warn").may_lack_layers
    assert HostSettings(data_dir=tmp_path).missing_layers == "refuse"


async def test_without_user_namespaces_a_host_refuses_and_a_local_control_plane_goes_on_and_says_so(
    tmp_path: Path,
) -> None:
    lacking = ["unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" "$@"']
    ours = [sys.executable, "-m", "skyscale.cli.main"]

    async def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*lacking, *ours, *arguments]
        return await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=100, env=os.environ | {"NO_COLOR": "1"}
        )

    folder = str(tmp_path)
    refused = await ended("sandboxd", "--port", "0", "--data-dir", folder)
    if "unshare failed" in refused.stderr or "Permission denied" in refused.stderr:
        pytest.skip(f"no namespace to forbid namespaces in: {refused.stderr}")
    assert refused.returncode == 1 and "lacks isolation" in refused.stderr and "hint" in refused.stderr
    told = await ended("doctor", "--backend", "process")
    assert told.returncode == 1 and "not fit for unknown code on this host: " in told.stdout
    assert "user namespace" in told.stdout and "refuses to start" in told.stdout
    control = await asyncio.create_subprocess_exec(
        *lacking, *ours, "serve", "--port", "0", "--data-dir", folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert control.stdout is not None and control.stderr is not None
        url = (await asyncio.wait_for(control.stdout.readline(), 60)).decode().split()[-1]
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            reset = (await http.post("/api/rl/env/reset", json={"seed": 1})).json()
            verdict = await http.post("/api/rl/env/step", json={"sandbox_id": reset["sandbox_id"], "code": "x = 1"})
            assert verdict.json()["outcome"] == "scored", verdict.text
            assert (await create(http, "rl-weak", max_steps=1)).status_code == 202
            told = (await events(http, "rl-weak"))["sandbox.layers_missing"]
            assert "user namespace" in told["data"]["needed"]["control plane"]
            assert (await http.delete("/api/rl/runs/rl-weak")).status_code == 204
    finally:
        control.terminate()
        _, errors = await asyncio.wait_for(control.communicate(), 60)
    assert b"SKYSCALE_SANDBOX_MISSING_LAYERS" in errors
