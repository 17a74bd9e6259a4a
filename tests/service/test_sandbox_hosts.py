"""Sandbox hosts: judging is spread and survives them, interactive sandboxes live on them, cheats earn nothing there."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from skyscale.api.services import Services
from skyscale.envs.judge import Judge
from skyscale.hosts import rules
from skyscale.sandboxes.sandbox import Limits
from skyscale.settings import Settings
from skyscale.wire.episodes import Outcome
from tests.service.hosts_world import HostProcess, control_plane, host_here, until
from tests.service.test_cheating_policy import CODES, HONEST, PROBLEMS, WALL_S

SLOW = "import time\ndef f(x):\n    time.sleep(0.15)\n    return x * 2  # {}"
CALLS = PROBLEMS[0]


@pytest.fixture
async def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Services]:
    """A control plane over SQLite on a port."""
    monkeypatch.setattr(rules, "LOST_S", 3.0)
    async with control_plane(Settings(data_dir=tmp_path / "control")) as services:
        yield services


@pytest.fixture
async def http(parts: Services) -> AsyncGenerator[httpx.AsyncClient]:
    """An operator on this machine."""
    async with httpx.AsyncClient(base_url=parts.address.url, timeout=60) as client:
        yield client


async def start(parts: Services, folder: Path, *names: str) -> list[HostProcess]:
    """Hosts, side by side."""
    url = parts.address.url
    made = await asyncio.gather(*(asyncio.to_thread(HostProcess, url, folder / name, name) for name in names))
    await until(lambda: {host.host_id for host in made} <= {host.host_id for host in parts.hosts.usable()})
    return made


async def listed(http: httpx.AsyncClient) -> dict[str, Any]:
    return {host["name"]: host for host in (await http.get("/api/sandboxes/hosts")).json()["hosts"]}


async def test_judging_is_spread_and_a_host_killed_in_the_middle_costs_no_verdict(
    parts: Services, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    first, second = hosts = await start(parts, tmp_path, "first", "second")
    try:
        judging = parts.episodes._judging
        codes = [SLOW.format(i) for i in range(48)] + ["def f(x): return None"]
        verdicts = asyncio.create_task(judging.verdicts(CALLS, codes))
        await until(lambda: all(parts.hosts.get(h.host_id).num_ours >= 16 for h in hosts))  # both have their share
        await until(lambda: judged(first.url), 20)
        first.kill()
        found = await verdicts
        assert [v.reward for v in found] == [1.0] * 48 + [0.0]
        assert {v.outcome for v in found} == {Outcome.SCORED}
        assert await until(lambda: judged(second.url)) > 16
        assert [host.host_id for host in parts.hosts.usable()] == [second.host_id]
        await until(lambda: state_is(http, "first", "lost"))
        assert "did not report" in (await listed(http))["first"]["reason"]
        # The last one goes too: the control plane judges by itself, in the middle of a group as well.
        verdicts = asyncio.create_task(judging.verdicts(CALLS, [SLOW.format(i) for i in range(100, 108)]))
        await until(lambda: parts.hosts.get(second.host_id).num_ours)
        second.kill()
        assert [v.reward for v in await verdicts] == [1.0] * 8
    finally:
        for host in hosts:
            host.close()


async def test_a_host_that_is_told_to_stop_finishes_what_it_judges_and_leaves(
    parts: Services, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    (host,) = await start(parts, tmp_path, "only")
    try:
        box = (await http.post("/api/sandboxes", json={})).json()
        assert box["host"] == host.host_id
        children = children_of(host.process.pid)
        assert len(children) >= 2
        verdicts = asyncio.create_task(parts.episodes._judging.verdicts(CALLS, [SLOW.format(i) for i in range(8)]))
        await until(lambda: httpx.get(f"{host.url}/report").json()["judging"])
        host.process.send_signal(signal.SIGTERM)
        await until(lambda: not parts.hosts.usable())
        assert [v.reward for v in await verdicts] == [1.0] * 8
        assert await asyncio.to_thread(host.process.wait, 30) == 0
        assert (await listed(http))["only"]["judged_total"] == 8, "it judged them all itself"
        assert (await listed(http))["only"]["state"] == "gone"
        assert not any(map(psutil.pid_exists, children))
        shown = await until(lambda: box_is(http, box["id"], "failed"))
        assert "lost" in shown["reason"]
    finally:
        host.close()


async def test_an_interactive_sandbox_lives_on_a_host_and_fails_with_it(
    parts: Services, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    (host,) = await start(parts, tmp_path, "only")
    try:
        made = await http.post("/api/sandboxes", json={"metadata": {"for": "test"}})
        assert made.status_code == 201, made.text
        box, path = made.json()["id"], f"/api/sandboxes/{made.json()['id']}"
        assert (made.json()["host"], made.json()["metadata"]) == (host.host_id, {"for": "test"})
        content = os.urandom(200_000)
        assert (await http.put(f"{path}/files/in/é.bin", content=content)).json()["size_bytes"] == 200_000
        assert (await http.get(f"{path}/files/in/é.bin")).content == content
        names = (await http.get(f"{path}/files", params={"path": "in"})).json()["entries"]
        assert [(e["name"], e["kind"]) for e in names] == [("é.bin", "file")]
        for bad, status, code in (("%2e%2e/x", 422, "invalid"), ("none", 404, "file_not_found")):
            reply = await http.get(f"{path}/files/{bad}")
            assert (reply.status_code, reply.json()["code"]) == (status, code)
        ran = (await http.post(f"{path}/exec", json={"code": "print('é', input())", "stdin": "in"})).json()
        assert (ran["stdout"], ran["exit_code"], ran["status"]) == ("é in\n", 0, "ok")
        slow = asyncio.create_task(http.post(f"{path}/exec", json={"code": "import time; time.sleep(30)"}))
        await until(lambda: box_is(http, box, "busy"))
        assert (await http.post(f"{path}/exec", json={"code": "1"})).json()["code"] == "sandbox_busy"
        host.kill()
        assert (await slow).status_code == 503
        shown = await until(lambda: box_is(http, box, "failed"))
        assert "host" in shown["reason"] and "lost" in shown["reason"]
        gone = await http.post(f"{path}/exec", json={"code": "1"})
        assert (gone.status_code, gone.json()["code"]) == (410, "sandbox_failed")
        assert (await http.delete(path)).status_code == 204
        after = (await http.post("/api/sandboxes", json={})).json()
        assert after["host"] is None, "without a host the control plane holds it"
    finally:
        host.close()


async def test_a_sandbox_on_a_host_outlives_its_control_plane_and_destroyed_ones_are_dropped_there(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path / "control")
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(control_plane(settings))
        host = await stack.enter_async_context(host_here(first.address.url, tmp_path / "host"))
        await until(first.hosts.usable)
        async with httpx.AsyncClient(base_url=first.address.url, timeout=60) as http:
            path = f"/api/sandboxes/{(await http.post('/api/sandboxes', json={})).json()['id']}"
            await http.put(f"{path}/files/kept", content=b"here")
        other = await stack.enter_async_context(control_plane(settings))
        async with httpx.AsyncClient(base_url=other.address.url, timeout=60) as http:
            assert (await http.get(f"{path}/files/kept")).content == b"here", "any control plane reaches it"
            box = path.rpartition("/")[2]
            del first.boxes._boxes[box]
            first.boxes._holder = other.boxes._holder = "elsewhere:1:cp-new"
            async with first.database.write() as connection:
                await connection.exec_driver_sql("UPDATE sandboxes SET holder = 'elsewhere:1:cp-dead', lease_until = "
                                                 "'2020-01-01 00:00:00.000000'")  # fmt: skip
            await other.boxes.sweep()
            assert box in other.boxes._boxes, "who sweeps becomes its holder"
            assert (await http.post(f"{path}/exec", json={"code": "print(open('kept').read())"})).json()["stdout"]
            async with first.database.write() as connection:  # closed while the host was not told
                await connection.exec_driver_sql("UPDATE sandboxes SET status = 'destroyed'")
            host.news.set()
            await until(lambda: not host.boxes.ids())


async def test_a_policy_of_cheats_earns_exactly_nothing_through_a_host(parts: Services, tmp_path: Path) -> None:
    async with host_here(parts.address.url, tmp_path / "host") as host:
        host.judge._limits = Limits(wall_s=WALL_S)
        await until(parts.hosts.usable)
        for problem in PROBLEMS:
            honest = HONEST.get(problem.id, "def f(x): return x * 2")
            verdicts = await parts.episodes._judging.verdicts(problem, [*CODES, honest])
            assert {v.outcome for v in verdicts} == {Outcome.SCORED}, problem.id
            rewarded = [c for c, v in zip(CODES, verdicts, strict=False) if v.reward or v.passed_tests]
            assert rewarded == [], problem.id
            assert verdicts[-1].reward == 1.0
        assert host.judged_total == len(PROBLEMS) * (len(CODES) + 1), "none of it was judged here"


async def test_a_verdict_is_the_same_here_and_on_a_host(parts: Services, tmp_path: Path) -> None:
    codes = ["def f(x): return x * 2", "def f(x): return 2", "def f(x): 1/0", "f = 3", "def f(x): return [x] * 2", "("]
    async with host_here(parts.address.url, tmp_path / "host"):
        await until(parts.hosts.usable)
        there = await parts.episodes._judging.verdicts(CALLS, codes)
    here = await parts.judge.judge_all(CALLS, codes)
    same = {"duration_ms": 0.0}
    assert [v.model_copy(update=same) for v in there] == [v.model_copy(update=same) for v in here]


async def test_a_host_that_cannot_judge_is_no_reward_of_zero(parts: Services, tmp_path: Path) -> None:
    async with host_here(parts.address.url, tmp_path / "host") as host:
        await until(parts.hosts.usable)
        await host.judge.stop()  # its sandboxes are gone; it still answers
        assert isinstance(parts.judge, Judge)
        (verdict,) = await parts.episodes._judging.verdicts(CALLS, ["def f(x): return x * 2  # again"])
        assert (verdict.outcome, verdict.reward) == (Outcome.SCORED, 1.0), "our own judge took over"
        await parts.judge.stop()
        (verdict,) = await parts.episodes._judging.verdicts(CALLS, ["def f(x): return x * 2  # nobody"])
        assert verdict.outcome == Outcome.INFRASTRUCTURE_FAILURE
        assert parts.hosts.usable(), "a host that answers is not given up for it"


async def test_bad_input_is_refused_and_creates_at_once_are_bounded_on_a_host_as_well(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "control", sandbox_max_open=40, sandbox_max_total=3)
    async with contextlib.AsyncExitStack() as stack:
        parts = await stack.enter_async_context(control_plane(settings))
        host = await stack.enter_async_context(host_here(parts.address.url, tmp_path / "host", sandbox_max_total=6))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=parts.address.url, timeout=60))
        await until(parts.hosts.usable)
        replies = await asyncio.gather(*(http.post("/api/sandboxes", json={}) for _ in range(100)))
        assert sorted({reply.status_code for reply in replies}) == [201, 429]
        made = [reply.json() for reply in replies if reply.status_code == 201]
        assert len(made) <= 9 and sorted(box["id"] for box in made if box["host"]) == host.boxes.ids()
        assert len(host.boxes.ids()) == 6
        box = next(box["id"] for box in made if box["host"])
        path = f"/api/sandboxes/{box}"
        for body in ({"code": "x" * (10 << 20)}, {"code": "print(1)\0"}, {"code": "1", "timeout_seconds": 1e9}):
            assert (await http.post(f"{path}/exec", json=body)).status_code == 422
        assert (await http.put(f"{path}/files/big", content=b"x" * (33 << 20))).status_code == 413
        assert (await http.put(f"{path}/files/a%00b", content=b"x")).status_code == 422
        big = "print('x' * 900_000)"
        assert len((await http.post(f"{path}/exec", json={"code": big})).json()["stdout"]) == 900_001
        assert (await http.delete(path)).status_code == 204
        gone = await http.post(f"{path}/exec", json={"code": "1"})
        assert (gone.status_code, gone.json()["code"]) == (410, "sandbox_destroyed")
        assert box not in host.boxes.ids()
        codes = ["def f(x): return x * 2\0", "x" * 65536, "def f(x): return x * 2  # " + "é" * 300, "\x7f\x01"]
        verdicts = await parts.episodes._judging.verdicts(CALLS, codes)
        assert [round(v.reward, 3) for v in verdicts] == [0.0, 0.0, 1.0, 0.0]
        assert host.judged_total == len(codes)


async def report(http: httpx.AsyncClient, host_id: str = "sbh-test1", **body: object) -> httpx.Response:
    said = {"name": "n", "url": "http://127.0.0.1:1", "version": "0", "slots": 1, "backend": "process"} | body
    return await http.put(f"/api/sandboxes/hosts/{host_id}", json=said)


async def test_reports_are_checked_and_a_new_process_at_an_address_replaces_the_old_one(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    parts, http = app.state.services, client
    for body in ({"url": "http://10.0.0.5:80"}, {"url": "http://u:p@127.0.0.1"}, {"url": "ftp://x"}, {"slots": 0},
                 {"url": "http://127.0.0.1/path"}, {"nope": 1}, {"version": "0" * 41}):  # fmt: skip
        assert (await report(http, **body)).status_code == 422, body
    assert (await report(http, "nope")).status_code == 422
    assert (await http.delete("/api/sandboxes/hosts/sbh-nobody")).status_code == 404
    assert (await report(http, "sbh-old1", layers={"landlock": "no: old kernel", "seccomp": "yes"})).status_code == 200
    assert (await listed(http))["n"]["missing_layers"] == ["landlock"]
    assert (await report(http, "sbh-new1")).status_code == 200
    hosts = {host["host_id"]: host for host in (await http.get("/api/sandboxes/hosts")).json()["hosts"]}
    assert (hosts["sbh-old1"]["state"], hosts["sbh-new1"]["state"]) == ("lost", "ready")
    assert (await report(http, "sbh-old1")).json()["code"] == "host_given_up"
    # Nobody answers there: the programs are judged here, and nothing is asked of it until it reports again.
    (verdict,) = await parts.episodes._judging.verdicts(CALLS, ["def f(x): return x * 2"])
    assert (verdict.reward, parts.hosts.usable()) == (1.0, [])
    assert (await http.post("/api/sandboxes", json={})).json()["host"] is None
    for _ in range(2):
        assert (await http.delete("/api/sandboxes/hosts/sbh-new1")).status_code == 204
    assert not parts.hosts.hosts


async def test_only_who_has_the_token_is_a_host_and_only_who_has_it_is_answered(tmp_path: Path) -> None:
    token = "a-token-of-hosts-0123456789"
    settings = Settings(data_dir=tmp_path / "control", host_token=SecretStr(token))
    async with control_plane(settings) as parts:
        async with httpx.AsyncClient(base_url=parts.address.url, timeout=60) as http:
            assert (await report(http)).status_code == 401
            http.headers["authorization"] = "Bearer wrong"
            assert (await report(http)).status_code in (401, 403)
        url = parts.address.url
        async with host_here(url, tmp_path / "host", token=SecretStr(token)) as host:
            await until(parts.hosts.usable)
            (verdict,) = await parts.episodes._judging.verdicts(CALLS, ["def f(x): return x * 2"])
            assert (verdict.reward, host.judged_total) == (1.0, 1)
            async with httpx.AsyncClient(base_url=host.url) as http:
                assert (await http.get("/health")).status_code == 200
                for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {token}"}):
                    for method, path in (("POST", "/judge"), ("POST", "/sandboxes"), ("GET", "/report"),
                                         ("POST", "/sandboxes/sb-1/exec"), ("DELETE", "/sandboxes/sb-1")):  # fmt: skip
                        assert (await http.request(method, path, headers=headers)).status_code == 401, (method, path)
        async with host_here(url, tmp_path / "other") as host:
            async with httpx.AsyncClient(base_url=host.url) as http:
                assert (await http.get("/report")).status_code == 200, "without a token its own machine may ask"
                assert (await http.get("/report", headers={"host": "evil.example"})).status_code == 401
            assert not parts.hosts.usable(), "but the control plane does not take it"


def children_of(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def judged(url: str) -> int:
    """Programs that a host has judged, by its own word."""
    return httpx.get(f"{url}/report", timeout=20).json()["judged_total"]


async def state_is(http: httpx.AsyncClient, name: str, state: str) -> bool:
    return (await listed(http))[name]["state"] == state


async def box_is(http: httpx.AsyncClient, box: str, status: str) -> dict[str, Any] | None:
    shown = (await http.get(f"/api/sandboxes/{box}")).json()
    return shown if shown["status"] == status else None
