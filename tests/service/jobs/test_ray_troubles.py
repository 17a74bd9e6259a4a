"""What the Ray provider makes of a cluster that is away, shut to us, broken, or says odd things; no Ray is needed."""

import json
import threading
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from skyscale.errors import Invalid, Unavailable
from skyscale.jobs.provider import JobLaunch, NoCapacity, Refused, Setup, Unreachable
from skyscale.jobs.providers.ray import RayProvider
from skyscale.jobs.rules import Seen
from skyscale.wire.jobs import JobRole

LAUNCH = JobLaunch(
    job_id="job-x", role=JobRole.TRAINER, attempt=2, command=["python", "-c", "print('a b')"], url="http://here:1",
    token="secret", gpu_model="a100:2", cpus=4.0, memory_mb=1024, timeout_s=50.0,
)  # fmt: skip


@dataclass
class Cluster:
    """A Jobs API that answers what a test says."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict[str, tuple[int, Any]])
    """Method and path -> status and body."""
    asked: list[tuple[str, Any, str | None]] = field(default_factory=list[tuple[str, Any, "str | None"]])


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Generator[Cluster]:
    made = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            key = f"{self.command} {self.path.partition('?')[0]}"
            made.asked.append((key, json.loads(raw) if raw else None, self.headers.get("authorization")))
            status, body = made.answers.get(key, (404, {}))
            answer = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST  # noqa: N815 - the name that the base class calls

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "open-sesame")
    yield made
    server.shutdown()
    server.server_close()


def provider() -> RayProvider:
    return RayProvider(Setup(jobs_dir=Path("unused"), owner="0123456789ab"))


async def test_a_cluster_that_is_away_is_full_and_not_a_riddle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    with pytest.raises(Unreachable, match=r"no connection to the Ray cluster at 127\.0\.0\.1"):
        await provider().start(LAUNCH)
    assert issubclass(Unreachable, NoCapacity)


async def test_without_an_address_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    assert "RAY_API_SERVER_ADDRESS" in (provider().missing() or "")
    with pytest.raises(Refused):
        await provider().start(LAUNCH)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"msg": "no"}, Refused),
        (403, {"msg": "no"}, Refused),
        (400, {"msg": "bad field"}, Invalid),
        (500, b"Traceback\nRuntimeError: the disk is full", Unavailable),
        (502, b"", Unavailable),
    ],
)
async def test_refusals_are_told_apart(cluster: Cluster, status: int, body: Any, error: type[Exception]) -> None:
    cluster.answers["POST /api/jobs/"] = (status, body)
    with pytest.raises(error) as refusal:
        await provider().start(LAUNCH)
    assert not isinstance(refusal.value, NoCapacity)
    assert cluster.asked[0][2] == "Bearer open-sesame"


async def test_a_submission_that_the_cluster_has_already_is_the_first_one(cluster: Cluster) -> None:
    cluster.answers["POST /api/jobs/"] = (500, b"RuntimeError: Job with submission_id already exists")
    cluster.answers["GET /api/jobs/0123456789ab-job-x-a2"] = (200, {"status": "PENDING"})
    assert await provider().start(LAUNCH) == "0123456789ab-job-x-a2"


async def test_what_is_submitted_asks_for_what_the_job_needs(cluster: Cluster) -> None:
    cluster.answers["POST /api/jobs/"] = (200, {"submission_id": "0123456789ab-job-x-a2"})
    await provider().start(LAUNCH)
    body = cluster.asked[0][1]
    assert body["entrypoint_num_gpus"] == 2
    assert body["entrypoint_num_cpus"] == 1.0
    assert body["entrypoint_resources"] == {"accelerator_type:A100": 0.001}
    assert body["metadata"] == {"skyscale": "0123456789ab", "skyscale-job": "job-x", "skyscale-attempt": "2"}
    env = body["runtime_env"]["env_vars"]
    assert json.loads(env["SKYSCALE_JOB_COMMAND"]) == ["python", "-c", "print('a b')"]
    assert (env["SKYSCALE_JOB_TIMEOUT_S"], env["SKYSCALE_JOB_TOKEN"]) == ("50.0", "secret")
    await provider().start(replace(LAUNCH, gpu_model="cpu"))
    plain = cluster.asked[1][1]
    assert (plain["entrypoint_num_cpus"], plain["entrypoint_memory"]) == (4.0, 1024**3)
    assert "entrypoint_resources" not in plain
    assert "entrypoint_label_selector" not in plain, "older clusters do not know the word"


@pytest.mark.parametrize(("capacity", "label"), [("on_demand", "!spot"), ("preemptible", "spot")])
async def test_capacity_is_asked_of_the_nodes_labels(cluster: Cluster, capacity: str, label: str) -> None:
    cluster.answers["POST /api/jobs/"] = (200, {"submission_id": "0123456789ab-job-x-a2"})
    await provider().start(replace(LAUNCH, capacity=capacity))
    assert cluster.asked[0][1]["entrypoint_label_selector"] == {"ray.io/market-type": label}


async def test_a_cluster_that_cannot_choose_by_capacity_is_told_of(cluster: Cluster) -> None:
    body = b"TypeError: __init__() got an unexpected keyword argument 'entrypoint_label_selector'"
    cluster.answers["POST /api/jobs/"] = (400, body)
    with pytest.raises(Invalid, match="too old to choose nodes by capacity"):
        await provider().start(replace(LAUNCH, capacity="on_demand"))


@pytest.mark.parametrize(
    ("info", "seen"),
    [
        ({"status": "PENDING"}, Seen("pending")),
        ({"status": "RUNNING"}, Seen("running")),
        ({"status": "SUCCEEDED", "driver_exit_code": 0}, Seen("exited", 0)),
        ({"status": "FAILED", "driver_exit_code": 137}, Seen("exited", 137)),
        ({"status": "STOPPED"}, Seen("exited", 143)),
        ({"status": "FAILED", "error_type": "JOB_SUPERVISOR_ACTOR_DIED"}, Seen("unknown")),
        ({"status": "FAILED", "error_type": "RUNTIME_ENV_SETUP_FAILURE"}, Seen("exited", 125)),
    ],
)
async def test_a_dead_node_is_a_loss_and_an_exit_code_is_an_end(
    cluster: Cluster, info: dict[str, Any], seen: Seen
) -> None:
    cluster.answers["GET /api/jobs/h-a1"] = (200, info)
    assert await provider().poll("h-a1") == seen
    assert await provider().poll("forgotten-a1") == Seen("unknown")


async def test_nodes_are_counted_by_the_accelerator_they_have(cluster: Cluster) -> None:
    nodes = [
        {"state": "ALIVE", "resources_total": {"CPU": 8.0, "GPU": 4.0, "accelerator_type:A100": 1.0}},
        {"state": "ALIVE", "resources_total": {"CPU": 8.0, "GPU": 2.0, "accelerator_type:A100": 1.0}},
        {"state": "DEAD", "resources_total": {"GPU": 8.0, "accelerator_type:H100": 1.0}},
        {"state": "ALIVE", "resources_total": {"CPU": 8.0}},
        {"state": "ALIVE", "resources_total": {"GPU": 1.0}},
    ]
    cluster.answers["GET /api/v0/nodes"] = (200, {"data": {"result": {"result": nodes}}})
    offers = await provider().inventory()
    assert [(each.gpu_model, each.name, each.total) for each in offers] == [("any", "GPU", 1), ("a100", "A100", 6)]
