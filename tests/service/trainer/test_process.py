"""`python -m skyscale.trainer` as the process that it is in a run: over HTTP, ended with signal 9 and started again."""

import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from pydantic import BaseModel

from skyscale.artifacts.store import open_store
from skyscale.artifacts.versions import open_version
from skyscale.decoder.checkpoint import load_decoder
from skyscale.decoder.lora import LoraConfig, attach
from skyscale.trainer.checkpoint import checkpoint_versions, read_checkpoint
from skyscale.trainer.step import Learner
from skyscale.wire.batches import LeaseRequest, SampleRequest
from skyscale.wire.jobs import Heartbeat, JobAssignment, JobRole
from skyscale.wire.policies import PolicyPublish
from skyscale.wire.runs import Algorithm, Evaluation, EventCreate, RunSpec, Sampling, TrainingMetrics
from skyscale.wire.training import Training

_spec = importlib.util.spec_from_file_location("trainer_ledger", Path(__file__).with_name("ledger.py"))
assert _spec is not None and _spec.loader is not None
_ledger = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_ledger)

RUN_ID, JOB_ID, TOKEN = "rl-process", "job-trainer", "a token"
NUM_STEPS = 12


class Server:
    """The ledger behind HTTP."""

    def __init__(self, assignment: JobAssignment) -> None:
        self.ledger = _ledger.Ledger(max_steps=NUM_STEPS)
        self.lock = threading.Lock()
        self.is_gone = False
        run, job = f"/api/rl/runs/{RUN_ID}", f"/api/jobs/{JOB_ID}"
        call = self.ledger
        routes: dict[str, tuple[type[BaseModel], Any]] = {
            f"{job}/heartbeat": (Heartbeat, call.heartbeat),
            "/api/rl/buffer/sample": (SampleRequest, call.sample),
            "/api/rl/buffer/ack": (LeaseRequest, call.ack),
            "/api/rl/buffer/release": (LeaseRequest, call.release),
            "/api/rl/buffer/extend": (LeaseRequest, call.extend),
            f"{run}/policies": (PolicyPublish, lambda body: call.publish(RUN_ID, body)),
            f"{run}/events": (EventCreate, lambda body: call.event(RUN_ID, body)),
            "/api/training/metrics": (TrainingMetrics, call.metrics),
        }
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                assert self.path == f"{job}/assignment"
                self.answer(200, assignment)

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["content-length"]))
                assert self.headers["authorization"] == f"Bearer {TOKEN}"
                model, act = routes[self.path]
                with server.lock:
                    if server.is_gone:
                        self.answer(410, None)
                    else:
                        self.answer(200, act(model.model_validate_json(data)))

            def answer(self, status: int, body: BaseModel | None) -> None:
                content = body.model_dump_json().encode() if body is not None else b"{}"
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                del format, args

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(tmp_path: Path, base_folder: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The control plane's side of one run; a parameter changes the run's specification."""
    spec = RunSpec(
        run_id=RUN_ID, base_model="m", num_workers=1, gpu_model="cpu", provider="local", problem_set="embedded",
        difficulty=None, algorithm=Algorithm(learning_rate=1e-2, group_size=2, groups_per_step=2),
        sampling=Sampling(max_new_tokens=8), evaluation=Evaluation(), mode="synchronous", seed=0,
        max_steps=NUM_STEPS, max_hours=None, target_reward=None,
        max_concurrent_groups=4, checkpoint_every=1, keep_versions=2,
    ).model_copy(update=getattr(request, "param", {}))  # fmt: skip
    assignment = JobAssignment(
        job_id=JOB_ID, run_id=RUN_ID, role=JobRole.TRAINER, index=0, attempt=1, spec=spec, model_path=str(base_folder),
        artifact_root=(tmp_path / "artifacts").as_uri(), heartbeat_s=0.2,
    )  # fmt: skip
    server = Server(assignment)
    yield server
    server.close()


def _start(server: Server) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "SKYSCALE_URL": f"http://127.0.0.1:{server.http.server_port}",
        "SKYSCALE_JOB_TOKEN": TOKEN,
        "SKYSCALE_JOB_ID": JOB_ID,
    }
    return subprocess.Popen([sys.executable, "-m", "skyscale.trainer", "--threads", "1"], env=environment)


def test_a_trainer_killed_with_signal_9_goes_on_exactly_where_the_run_is(
    server: Server, tmp_path: Path, base_folder: Path
):
    first = _start(server)
    try:
        deadline = time.monotonic() + 60
        while len(server.ledger.versions) < 3:
            assert first.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        first.kill()
        first.wait()
    with server.lock:
        server.ledger.expire_all()
    second = _start(server)
    try:
        assert second.wait(60) == 0
    finally:
        second.kill()
    ledger = server.ledger
    assert [v.version for v in ledger.versions] == list(range(1, NUM_STEPS + 1))
    assert len(ledger.acked) == NUM_STEPS
    assert "trainer.resumed" in ledger.events
    torch.set_num_threads(1)
    learner = Learner(load_decoder(base_folder), Algorithm(learning_rate=1e-2, group_size=2, groups_per_step=2), 1.0)
    for lease_id in ledger.acked:
        learner.train([_ledger.make_group(seed) for seed in ledger.groups[lease_id]], 0)
    store = open_store((tmp_path / "artifacts").as_uri())
    found = read_checkpoint(store, RUN_ID, checkpoint_versions(store, RUN_ID)[0], tmp_path)
    assert found is not None
    assert all(torch.equal(found[1].weights[name], p) for name, p in learner.model.named_parameters())


@pytest.mark.parametrize(
    "server",
    [{"trainer_processes": 2}, {"trainer_processes": 2, "training": Training(sharding="full")}],
    indirect=True,
    ids=["whole", "sharded"],
)
def test_a_team_that_loses_its_leader_leaves_nobody_behind_and_the_next_one_goes_on(
    server: Server, tmp_path: Path, base_folder: Path
):
    first = _start(server)
    try:
        deadline = time.monotonic() + 60
        while len(server.ledger.versions) < 2:
            assert first.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        followers = psutil.Process(first.pid).children()
        assert len(followers) == 1
    finally:
        first.kill()
        first.wait()
    assert psutil.wait_procs(followers, timeout=20)[1] == []
    with server.lock:
        server.ledger.expire_all()
    second = _start(server)
    try:
        assert second.wait(90) == 0
    finally:
        second.kill()
    torch.set_num_threads(1)
    learner = Learner(load_decoder(base_folder), Algorithm(learning_rate=1e-2, group_size=2, groups_per_step=2), 1.0)
    for lease_id in server.ledger.acked:
        learner.train([_ledger.make_group(seed) for seed in server.ledger.groups[lease_id]], 0)
    store = open_store((tmp_path / "artifacts").as_uri())
    found = read_checkpoint(store, RUN_ID, checkpoint_versions(store, RUN_ID)[0], tmp_path)
    assert found is not None
    assert found[0].version == NUM_STEPS
    for name, weight in learner.weights.items():
        torch.testing.assert_close(found[1].weights[name], weight.detach(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("server", [{"training": Training(method="lora", lora_rank=2)}], indirect=True)
def test_a_lora_run_publishes_adapters_that_load_as_the_trained_model(
    server: Server, tmp_path: Path, base_folder: Path
):
    process = _start(server)
    try:
        assert process.wait(90) == 0
    finally:
        process.kill()
    learner = Learner(load_decoder(base_folder), Algorithm(learning_rate=1e-2, group_size=2, groups_per_step=2), 1.0)
    attach(learner.model, LoraConfig(2, 32.0), seed=0)
    learner = Learner(learner.model, learner.algorithm, 1.0)
    for lease_id in server.ledger.acked:
        learner.train([_ledger.make_group(seed) for seed in server.ledger.groups[lease_id]], 0)
    newest = server.ledger.versions[-1]
    folder = open_version(newest.manifest_uri, tmp_path / "cache").path
    assert not (folder / "model.safetensors").exists()
    ids, positions = torch.arange(12)[None], torch.arange(12)[None]
    with torch.no_grad():
        ours = learner.model.logits(learner.model(ids, positions))
        served = load_decoder(folder)
        assert torch.allclose(served.logits(served(ids, positions)), ours, atol=1e-4)
        base = load_decoder(base_folder)
        assert not torch.allclose(base.logits(base(ids, positions)), ours, atol=1e-3)


def test_a_trainer_whose_run_has_ended_exits_in_peace(server: Server):
    server.is_gone = True
    process = _start(server)
    try:
        assert process.wait(60) == 0
    finally:
        process.kill()
    assert server.ledger.versions == []


def test_a_trainer_without_its_settings_says_which_are_missing_before_it_loads_anything():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SKYSCALE_")}
    command = [sys.executable, "-X", "importtime", "-m", "skyscale.trainer"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "SKYSCALE_URL" in done.stderr
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in loaded
    assert not loaded & {"torch", "numpy", "skyscale.trainer.loop"}
