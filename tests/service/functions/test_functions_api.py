"""Functions over HTTP against a real control plane: deployed, called, refused, and nothing left behind."""

import time
from typing import Any

import httpx
import pytest

DEADLINE_S = 20.0


def deploy(http: httpx.Client, name: str, code: str, **more: Any) -> dict[str, Any]:
    reply = http.post("/api/functions", json={"name": name, "code": code, **more})
    assert reply.status_code == 200, reply.text
    return reply.json()


def call(http: httpx.Client, name: str, value: Any = None, **more: Any) -> dict[str, Any]:
    reply = http.post(f"/api/functions/{name}/invoke", json={"input": value, **more})
    assert reply.status_code in (200, 202), reply.text
    return reply.json()


def ended(http: httpx.Client, execution_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + DEADLINE_S
    while (view := http.get(f"/api/executions/{execution_id}").json())["status"] in ("queued", "running"):
        assert time.monotonic() < deadline, view
        time.sleep(0.05)
    return view


def test_what_is_deployed_is_called_and_every_version_stays(http: httpx.Client) -> None:
    first = deploy(http, "add", "def handler(event):\n    print('one')\n    return event['a'] + event['b']\n")
    assert deploy(http, "add", first["spec"]["code"])["version"] == first["version"]
    second = deploy(http, "add", "def handler(event):\n    return 'second'\n")
    assert [each["version"] for each in http.get("/api/functions/add/versions").json()["versions"]] == [
        second["version"], first["version"],
    ]  # fmt: skip
    assert call(http, "add", {"a": 1, "b": 2})["output"] == "second"
    old = call(http, "add", {"a": 1, "b": 2}, version=first["version"])
    assert (old["status"], old["output"], old["version"]) == ("completed", 3, first["version"])
    assert http.get(f"/api/executions/{old['execution_id']}/logs").json()["stdout"] == "one\n"
    listed = http.get("/api/executions", params={"function": "add"}).json()["executions"]
    assert [each["output"] for each in listed] == [3, "second"]
    assert http.get("/api/functions/name/add").json()["version"] == second["version"]
    assert http.delete("/api/functions/add").status_code == 204
    gone = http.post("/api/functions/add/invoke", json={})
    assert (gone.status_code, gone.json()["code"]) == (404, "function_not_found")


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({"code": "def handler(:\n  pass"}, "bad_code", "line 1"),
        ({"code": "x = 1"}, "entry_not_found", "handler"),
        ({"code": "class A:\n  pass", "entry": "A.run"}, "entry_not_found", "run"),
        ({"code": "def handler(e): ...", "requirements": ["--index-url=http://x"]}, "bad_requirement", "index-url"),
        ({"code": "def handler(e): ...", "requirements": ["no-such-package-here"]}, "requirements_refused", "no-such"),
        ({"code": "def handler(e): ...", "requirements": ["hard"]}, "requirements_compiled", "fast.so"),
        ({"code": "def handler(e): ...", "gpu": {"provider": "moon"}}, "provider_unknown", "moon"),
        ({"code": "def handler(e): ...", "memory": 1}, "invalid", "memory"),
    ],
)
def test_a_bad_deployment_is_refused_with_its_reason(http: httpx.Client, body: Any, code: str, says: str) -> None:
    reply = http.post("/api/functions", json={"name": "refused", **body})
    assert reply.status_code == 422
    assert (reply.json()["code"], says in reply.json()["detail"]) == (code, True), reply.text
    assert http.get("/api/functions/refused").status_code == 404


CODE = """
import os, sys, time
def handler(event):
    if event == "raise":
        raise ValueError("not today")
    if event == "sleep":
        time.sleep(60)
    if event == "memory":
        return len([bytearray(10_000_000) for _ in range(100)])
    if event == "flood":
        while True:
            print("x" * 1000)
    if event == "large":
        return "x" * 20_000
    if event == "exit":
        os._exit(3)
    if event == "strange":
        return object()
    if event == "forge":
        open(".result.json", "w").write("[1, 2]")
        os._exit(0)
    if event == "disk":
        with open("large", "wb") as file:
            file.write(bytes(100_000_000))
    if event == "fork":
        if os.fork() == 0:
            time.sleep(60)
    return os.listdir()
"""


@pytest.mark.parametrize(
    ("event", "status", "says"),
    [
        ("raise", "failed", "ValueError: not today"),
        ("sleep", "timeout", "longer than 1 s"),
        ("memory", "memory", "more than 128 MB"),
        ("flood", "output_limit", "printed more than 8 KB"),
        ("large", "output_limit", "its result exceeds 8 KB"),
        ("exit", "failed", "exit code 3"),
        ("strange", "failed", "not JSON"),
        ("forge", "failed", "written by something else"),
        ("disk", "failed", "its files filled its disk (64 MB)"),
        ("fork", "completed", ""),
    ],
)
def test_what_code_does_is_the_executions_end(http: httpx.Client, event: str, status: str, says: str) -> None:
    deploy(http, "wild", CODE, timeout=1, memory=128, output_kb=8)
    view = call(http, "wild", event)
    assert (view["status"], says in (view["error_message"] or "")) == (status, True), view
    assert len(http.get(f"/api/executions/{view['execution_id']}/logs").json()["stdout"]) <= 8 * 1024
    if event == "raise":
        assert 'raise ValueError("not today")' in view["error_traceback"]


def test_every_call_finds_a_fresh_sandbox_and_idle_ones_go(http: httpx.Client) -> None:
    code = "import os\ndef handler(e):\n    open('mark', 'w').close()\n    return sorted(os.listdir())\n"
    deploy(http, "fresh", code, scaledown_window=2, warm=2)
    views = [call(http, "fresh") for _ in range(6)]
    assert {str(view["output"]) for view in views} == {"['deployed.py', 'mark']"}
    deadline = time.monotonic() + DEADLINE_S
    while http.get("/api/functions/fresh").json()["num_warm"] != 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert call(http, "fresh")["is_cold"] is False
    while http.get("/api/functions/fresh").json()["num_warm"] != 0:
        assert time.monotonic() < deadline, "never scaled down"
        time.sleep(0.1)
    assert call(http, "fresh")["is_cold"] is True


def test_requirements_are_there_and_made_once(http: httpx.Client) -> None:
    code = "import greeting\ndef handler(name):\n    return greeting.greet(name)\n"
    deploy(http, "greet", code, requirements=["greeting"])
    assert call(http, "greet", "world")["output"] == "Hello world"
    began = time.monotonic()
    deploy(http, "greet", code + "# again\n", requirements=["greeting"])
    assert time.monotonic() - began < 1.0, "the layer was made again"


def test_a_call_that_is_not_waited_for_runs_once_under_its_key(http: httpx.Client) -> None:
    deploy(http, "later", "import os\ndef handler(e):\n    return [e, os.urandom(8).hex()]\n")
    reply = http.post("/api/functions/later/invoke", json={"input": 7, "sync": False, "idempotency_key": "k1"})
    assert reply.status_code == 202
    view = ended(http, reply.json()["execution_id"])
    assert view["output"][0] == 7
    again = call(http, "later", 7, idempotency_key="k1")
    assert (again["execution_id"], again["output"]) == (view["execution_id"], view["output"])
    other = http.post("/api/functions/later/invoke", json={"input": 8, "idempotency_key": "k1"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_taken")


def test_a_burst_of_a_hundred_calls_is_all_answered(http: httpx.Client) -> None:
    deploy(http, "burst", "def handler(n):\n    return n * n\n")
    started = [http.post("/api/functions/burst/invoke", json={"input": n, "sync": False}).json() for n in range(100)]
    views = [ended(http, each["execution_id"]) for each in started]
    assert [view["output"] for view in views] == [n * n for n in range(100)]


def test_a_function_with_a_gpu_is_a_job_that_ends(http: httpx.Client) -> None:
    code = "import os, sys\ndef handler(e):\n    print('inside')\n    return [e, 'SKYSCALE_JOB_TOKEN' in os.environ]\n"
    deploy(http, "big", code, gpu={"model": "cpu", "provider": "local"})
    view = call(http, "big", {"x": 1})
    assert (view["status"], view["output"]) == ("completed", [{"x": 1}, False]), view
    assert http.get(f"/api/executions/{view['execution_id']}/logs").json()["stdout"] == "inside\n"
    deploy(http, "slow", "import time\ndef handler(e):\n    time.sleep(60)\n", timeout=0.5, gpu={})
    late = call(http, "slow")
    assert late["status"] == "timeout"
    deadline = time.monotonic() + DEADLINE_S
    for each in (view, late):
        while http.get(f"/api/training/jobs/{each['job_id']}").json()["job"]["status"] not in (
            "succeeded",
            "cancelled",
        ):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    forged = http.post(f"/api/executions/{view['execution_id']}/result", json={"status": "completed", "output": "1"})
    assert forged.status_code == 403


def test_unknown_things_are_404_and_nonsense_is_4xx(http: httpx.Client) -> None:
    assert http.get("/api/executions/fx-none").json()["code"] == "execution_not_found"
    assert http.get("/api/executions/fx-none/work").json()["code"] == "execution_not_found"
    assert http.get("/api/deployments/dp-none").json()["code"] == "deployment_not_found"
    assert http.get("/api/executions", params={"cursor": "x"}).status_code == 400
    deploy(http, "echo", "def handler(e):\n    return e\n")
    wrong = http.post("/api/functions/echo/invoke", json={"version": "0" * 16})
    assert (wrong.status_code, wrong.json()["code"]) == (404, "version_not_found")
    large = http.post("/api/functions/echo/invoke", json={"input": "x" * 1_100_000})
    assert large.status_code == 413
    assert call(http, "echo", "\x00ä🙂")["output"] == "\x00ä🙂"
