"""Interactive sandboxes through the HTTP API: real processes, on both databases."""

import asyncio
import json
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from skyscale.api.app import create_app
from skyscale.api.services import Services, running
from skyscale.boxes import service as box_service
from skyscale.settings import Settings
from skyscale.wire.base import utc_now
from skyscale.wire.jobs import JobRole

API = "/api/sandboxes"
ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def parts(app: FastAPI) -> Services:
    return app.state.services


async def make(client: httpx.AsyncClient, **body: object) -> str:
    reply = await client.post(API, json=body)
    assert reply.status_code == 201, reply.text
    return reply.json()["id"]


async def run(client: httpx.AsyncClient, box: str, code: str, status: int = 200, **body: object) -> Any:
    reply = await client.post(f"{API}/{box}/exec", json={"code": code, **body}, timeout=30)
    assert reply.status_code == status, reply.text
    return reply.json()


async def refused(call: Any, status: int, code: str | None = None) -> Any:
    reply = await call
    assert reply.status_code == status, reply.text
    problem = reply.json()
    assert problem["detail"] and problem["hint"]
    assert code in (None, problem["code"])
    return problem


async def test_a_sandbox_is_made_used_listed_and_destroyed(client: httpx.AsyncClient) -> None:
    made = await client.post(API, json={"runtime": "bash", "ttl_seconds": 60, "metadata": {"for": "test"}})
    assert made.status_code == 201
    view = made.json()
    assert (view["status"], view["runtime"], view["network"], view["backend"]) == ("ready", "bash", "none", "process")
    assert (view["metadata"], view["limits"]["memory_mb"]) == ({"for": "test"}, 512)
    box = view["id"]
    assert (await run(client, box, "echo hello > greeting; cd /tmp; echo $0 >&2; exit 3"))["exit_code"] == 3
    second = await run(client, box, "print(open('greeting').read())", language="python3")
    assert (second["stdout"], second["status"], second["exit_code"]) == ("hello\n\n", "ok", 0)
    assert (await run(client, box, "cat", stdin="in\nput"))["stdout"] == "in\nput"
    assert [each["id"] for each in (await client.get(API)).json()["sandboxes"]] == [box]
    for _ in range(2):
        assert (await client.delete(f"{API}/{box}")).status_code == 204
    assert (await client.get(f"{API}/{box}")).json()["reason"] == "destroyed by its caller"
    assert (await run(client, box, "true", 410))["code"] == "sandbox_destroyed"
    assert (await client.get(API, params={"is_open": True})).json()["sandboxes"] == []
    other = await make(client)
    page = (await client.get(API, params={"limit": 1})).json()
    rest = (await client.get(API, params={"limit": 1, "cursor": page["next_cursor"]})).json()
    assert [each["sandboxes"][0]["id"] for each in (page, rest)] == [other, box]
    assert rest["next_cursor"] is None
    assert (await client.get(f"{API}/{other}/files")).json()["entries"] == []


async def test_the_same_id_again_is_the_same_sandbox(client: httpx.AsyncClient) -> None:
    body = {"sandbox_id": "sb-mine-1", "ttl_seconds": 60}
    first, again = [(await client.post(API, json=body)) for _ in range(2)]
    assert first.json() == again.json() | {"last_used_at": first.json()["last_used_at"]}
    await refused(client.post(API, json=body | {"ttl_seconds": 61}), 409, "sandbox_id_taken")


@ONE_DATABASE
async def test_files_go_in_and_out_and_are_listed(client: httpx.AsyncClient) -> None:
    box = await make(client)
    content = os.urandom(300_000)
    for method in ("PUT", "POST"):
        written = await client.request(method, f"{API}/{box}/files/data/in/raw.bin", content=content)
        assert written.json() == {"path": "data/in/raw.bin", "size_bytes": 300_000}
    assert (await run(client, box, "import os; print(os.path.getsize('data/in/raw.bin'))"))["stdout"] == "300000\n"
    await run(client, box, "open('data/out é.txt', 'w').write('né')")
    read = await client.get(f"{API}/{box}/files/data/out é.txt")
    assert (read.content, read.headers["x-content-type-options"]) == ("né".encode(), "nosniff")
    assert (await client.get(f"{API}/{box}/files/data/in/raw.bin")).content == content
    listed = (await client.get(f"{API}/{box}/files", params={"path": "data"})).json()
    assert [(e["name"], e["kind"]) for e in listed["entries"]] == [("in", "directory"), ("out é.txt", "file")]
    await run(client, box, "for i in range(1100): open(f'data/in/{i}', 'w').close()")
    listed = (await client.get(f"{API}/{box}/files", params={"path": "data/in"})).json()
    assert (len(listed["entries"]), listed["is_truncated"]) == (1000, True)


@ONE_DATABASE
async def test_no_path_leaves_the_sandbox(client: httpx.AsyncClient) -> None:
    box = await make(client)
    files = f"{API}/{box}/files"
    for path in ("%2e%2e/etc/passwd", "a/%2e%2e/%2e%2e/b", "/etc/passwd", "a//b", "a/%2e/b", "a%00b", "%ff", "x" * 256):
        problem = await refused(client.put(f"{files}/{path}", content=b"x"), 422)
        assert "path" in problem["detail"]
        await refused(client.get(f"{files}/{path}"), 422)
    await refused(client.get(files, params={"path": "../.."}), 422)
    await run(client, box, "import os; os.symlink('/etc', 'd'); os.symlink('/etc/passwd', 'f'); os.symlink('x', 'x')")
    for link in ("f", "d/passwd", "x"):
        await refused(client.get(f"{files}/{link}"), 422, "link_refused")
    await refused(client.get(files, params={"path": "d"}), 422, "link_refused")
    await refused(client.put(f"{files}/d/passwd", content=b"x"), 422, "link_refused")
    assert (await client.put(f"{files}/f", content=b"mine")).status_code == 200  # replaces the link itself
    assert (await run(client, box, "print(os.readlink('f') if (os := __import__('os')).path.islink('f') else "
                      "open('f').read())"))["stdout"] == "mine\n"  # fmt: skip
    await refused(client.get(f"{files}/none"), 404, "file_not_found")
    await refused(client.put(f"{files}/f/inside", content=b"x"), 422, "not_a_directory")
    await run(client, box, "import os; os.mkdir('folder')")
    await refused(client.get(f"{files}/folder"), 422, "not_a_file")
    await refused(client.put(f"{files}/folder", content=b"x"), 422)


@ONE_DATABASE
async def test_bad_input_is_refused_clearly(client: httpx.AsyncClient) -> None:
    for body in (
        {"ttl_seconds": 365 * 86400}, {"ttl_seconds": 0}, {"network": "host"}, {"runtime": "perl"}, {"nope": 1},
        {"backend": "firecracker"}, {"limits": {"memory_mb": 10**9}}, {"metadata": {"a": "\0"}}, {"sandbox_id": "../x"},
    ):  # fmt: skip
        problem = await refused(client.post(API, json=body), 422)
        assert next(iter(body)) in problem["detail"]
    box = await make(client, limits={"disk_mb": 1})
    for body in (
        {"code": "x" * (10 * 1024 * 1024)}, {"code": "print(1)\0"}, {"code": "1", "timeout_seconds": 1e9},
        {"code": "1", "timeout_seconds": 0}, {"code": "1", "language": "ruby"}, {},
    ):  # fmt: skip
        await refused(client.post(f"{API}/{box}/exec", json=body), 422)
    json_type = {"Content-Type": "application/json"}
    invalid = b'{"code": "print(\'\xff\xfe\')"}'
    await refused(client.post(f"{API}/{box}/exec", content=invalid, headers=json_type), 400)
    await refused(client.post(f"{API}/{box}/exec", content=b'{"code": "\\ud800"}', headers=json_type), 400)
    await refused(client.put(f"{API}/{box}/files/big", content=b"x" * (2 << 20)), 413, "disk_full")
    await refused(client.put(f"{API}/{box}/files/big", content=b"x" * (33 << 20)), 413)
    await refused(client.post(f"{API}/sb-nobody/exec", json={"code": "1"}), 404, "sandbox_not_found")
    await refused(client.delete(f"{API}/sb-nobody"), 404)
    await refused(client.get(API, params={"cursor": "x"}), 400)
    assert (await run(client, box, "print('still here')"))["stdout"] == "still here\n"


@ONE_DATABASE
async def test_one_program_at_a_time_and_output_streams_as_it_comes(client: httpx.AsyncClient) -> None:
    box = await make(client)
    slow = asyncio.create_task(run(client, box, "import time; time.sleep(1); print('done')"))
    await until(lambda: status_of(client, box), "busy")
    assert (await run(client, box, "print(1)", 409))["code"] == "sandbox_busy"
    assert (await client.put(f"{API}/{box}/files/meanwhile", content=b"")).status_code == 200
    assert (await slow)["stdout"] == "done\n"
    code = "import sys, time\nprint('é1', flush=True)\nprint('e', file=sys.stderr, flush=True)\nprint('2')"
    lines = [json.loads(line) for line in (await client.post(
        f"{API}/{box}/exec", json={"code": code}, params={"stream": True})).text.splitlines()]  # fmt: skip
    text = {kind: "".join(e["data"] for e in lines if e["type"] == kind) for kind in ("stdout", "stderr")}
    assert text == {"stdout": "é1\n2\n", "stderr": "e\n"}
    assert (lines[-1]["type"], lines[-1]["result"]["exit_code"], len(lines) >= 3) == ("end", 0, True)
    assert (await client.get(f"{API}/{box}")).json()["status"] == "ready"


@ONE_DATABASE
async def test_hostile_programs_are_ended_and_the_sandbox_stays_usable(client: httpx.AsyncClient) -> None:
    box = await make(client, limits={"memory_mb": 128, "max_processes": 16, "output_kb": 64})
    for code, language, status in (
        ("while True: pass", "python3", "timeout"),
        ("trap '' TERM INT; while :; do :; done", "bash", "timeout"),
        ("import os\nwhile True:\n try: os.fork()\n except OSError: pass", "python3", "timeout"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", "python3", "timeout"),
        ("print('x' * 10_000_000)", "python3", "output_limit"),
        ("import os\nfor _ in range(3): os.fork()\nx = b'x' * (60 << 20)\nwhile True: pass", "python3", "memory"),
        ("kill -9 $$", "bash", "killed"),
    ):
        result = await run(client, box, code, language=language, timeout_seconds=0.6 if status == "timeout" else 10)
        assert result["status"] == status, (code, result)
        assert result["exit_code"] == 137
    refused_inside = """
import ctypes, os, socket
def denied(call):
    try: call()
    except (OSError, PermissionError): return True
libc = ctypes.CDLL(None, use_errno=True)
print(all(map(denied, [
    socket.socket, lambda: os.kill(1, 9), lambda: open('/code/x', 'w'), lambda: open('/etc/passwd', 'a'),
    lambda: os.chroot('/tmp'), lambda: os.listdir('/proc/1'), lambda: open('/usr/bin/bash', 'ab'),
])), libc.unshare(0x10000000), libc.ptrace(16, 1, 0, 0), libc.prctl(38, 0), libc.mount(b'a', b'/tmp', b'tmpfs', 0, 0))
import resource
try: resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0)); print('limited')
except PermissionError: print('denied')
"""
    assert (await run(client, box, refused_inside))["stdout"] == "True -1 -1 -1 -1\ndenied\n"
    seen = await run(client, box, "env | cut -d= -f1 | sort | tr '\\n' ' '; ls /home /proc /sys 2>&1", language="bash")
    names = "HOME LANG PATH PWD PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONUTF8 SHELL SHLVL TERM TMPDIR USER _ "
    assert seen["stdout"].startswith(names) and seen["stdout"].count("No such file or directory") == 3, seen
    daemon = "import os, sys, time\nif os.fork(): sys.exit()\nos.setsid()\ntime.sleep(60)"
    assert (await run(client, box, daemon))["status"] == "ok"
    count = "import os\nn = 0\ntry:\n  while n < 64:\n    if not os.fork(): __import__('time').sleep(9)\n    n += 1\n"
    assert (await run(client, box, count + "except OSError: print(n)"))["stdout"] == "15\n"  # nothing was left over


@ONE_DATABASE
async def test_sandboxes_do_not_see_each_other(client: httpx.AsyncClient) -> None:
    mine, other = await make(client), await make(client)
    await run(client, mine, "open('secret', 'w').write('s'); open('/tmp/secret', 'w').write('s')")
    look = "import os; print(os.listdir('.'), os.listdir('/tmp'), os.getpid() < 10)"
    assert (await run(client, other, look))["stdout"] == "[] [] True\n"


@ONE_DATABASE
async def test_destroying_a_busy_sandbox_ends_its_program(client: httpx.AsyncClient) -> None:
    box = await make(client)
    slow = asyncio.create_task(run(client, box, "import time; time.sleep(20)"))
    await until(lambda: status_of(client, box), "busy")
    assert (await client.delete(f"{API}/{box}")).status_code == 204
    assert (await asyncio.wait_for(slow, 5))["status"] == "cancelled"


@ONE_DATABASE
async def test_five_hundred_creates_at_once_are_bounded(client: httpx.AsyncClient, parts: Services) -> None:
    replies = await asyncio.gather(*(client.post(API, json={"limits": {"disk_mb": 1}}) for _ in range(500)))
    limit = parts.settings.sandbox_max_open
    assert sorted({r.status_code for r in replies}) == [201, 429]
    assert sum(r.status_code == 201 for r in replies) == limit
    quota = next(r for r in replies if r.status_code == 429)
    assert (quota.json()["code"], int(quota.headers["retry-after"]) > 0) == ("sandbox_quota", True)
    boxes = [r.json()["id"] for r in replies if r.status_code == 201]
    assert (await run(client, boxes[-1], "print(1)"))["stdout"] == "1\n"
    await asyncio.gather(*(client.delete(f"{API}/{box}") for box in boxes))
    await make(client)


async def test_expired_idle_and_broken_sandboxes_are_reaped(client: httpx.AsyncClient, parts: Services) -> None:
    short, idle, broken, kept = [
        await make(client, **body)
        for body in ({"ttl_seconds": 60}, {"idle_seconds": 30}, {"ttl_seconds": 7200}, {"idle_seconds": 3600})
    ]
    boxes = parts.boxes
    pid = boxes._boxes[broken].workspace.pid
    os.kill(pid, 9)
    await until(lambda: gone(pid), True)
    boxes._now = lambda: utc_now() + timedelta(seconds=45)
    await boxes.sweep()
    views = {box: (await client.get(f"{API}/{box}")).json() for box in (short, idle, broken, kept)}
    assert [views[box]["status"] for box in (short, idle, broken, kept)] == ["ready", "destroyed", "destroyed", "ready"]
    assert (views[idle]["reason"], "broke" in views[broken]["reason"]) == ("nobody used it for 30 s", True)
    boxes._now = lambda: utc_now() + timedelta(seconds=61)
    await boxes.sweep()
    assert (await client.get(f"{API}/{short}")).json()["reason"] == "its time to live is over"
    assert (await run(client, short, "1", 410))["code"] == "sandbox_destroyed"
    boxes._now = utc_now


async def test_another_control_plane_does_not_serve_what_it_does_not_hold_and_reaps_it_when_the_lease_lapses(
    client: httpx.AsyncClient, settings: Settings, parts: Services, tmp_path: Path
) -> None:
    box = await make(client)
    other = create_app(settings.model_copy(update={"data_dir": tmp_path / "other"}))
    async with running(other.state.services):
        transport = httpx.ASGITransport(other, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as second:
            assert (await second.get(f"{API}/{box}")).json()["status"] == "ready"
            await refused(second.post(f"{API}/{box}/exec", json={"code": "1"}), 503, "sandbox_elsewhere")
            boxes = other.state.services.boxes
            boxes._now = lambda: utc_now() + timedelta(seconds=box_service.LEASE_S + 5)
            await boxes.sweep()
            assert (await second.get(f"{API}/{box}")).json()["reason"] == "its control plane ended"
            await parts.boxes.sweep()  # the holder, were it alive after all, lets go
            assert (await run(client, box, "1", 410))["code"] == "sandbox_destroyed"


@ONE_DATABASE
async def test_only_operators_use_sandboxes(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"dashboard_token": SecretStr("s3cret")}))
    async with running(app.state.services):
        worker = app.state.services.tokens.issue("job-1", "rl-1", JobRole.WORKER, 1)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            for path, method in ((API, "POST"), (API, "GET"), (f"{API}/sb-1", "GET"), (f"{API}/sb-1", "DELETE"),
                                 (f"{API}/sb-1/exec", "POST"), (f"{API}/sb-1/files", "GET"),
                                 (f"{API}/sb-1/files/a", "GET"), (f"{API}/sb-1/files/a", "PUT")):  # fmt: skip
                assert (await http.request(method, path)).status_code == 401
                token = {"Authorization": f"Bearer {worker}"}
                assert (await http.request(method, path, headers=token)).status_code == 403
            assert (await http.get(API, headers={"Authorization": "Bearer s3cret"})).status_code == 200


@ONE_DATABASE
async def test_nothing_is_left_after_a_clean_stop(settings: Settings) -> None:
    app = create_app(settings)
    async with running(app.state.services):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            box = await make(http)
        backend = app.state.services.boxes._backends["process"]
        pids = [app.state.services.boxes._boxes[box].workspace.pid, backend._keeper.pid]
        assert not any([await gone(pid) for pid in pids])
    assert all([await gone(pid) for pid in pids])


async def status_of(client: httpx.AsyncClient, box: str) -> str:
    return (await client.get(f"{API}/{box}")).json()["status"]


async def gone(pid: int) -> bool:
    return is_gone(pid)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def until(look: Any, wanted: object) -> None:
    deadline = time.monotonic() + 10
    while await look() != wanted:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
