"""A whole run on a Ray cluster of two nodes, by the one API call."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from skyscale.wire.jobs import TrainingJobCreate
from skyscale.wire.runs import Evaluation, RunCreate, RunStatus
from tests import ray_cluster
from tests.e2e.conftest import ControlPlane, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.fixture
def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[ControlPlane]:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", ray_cluster.shared().address)
    monkeypatch.setenv("GPU_PROVIDER_ORDER", "ray")
    made = ControlPlane(tmp_path)
    made.start()
    yield made
    made.stop()
    wait_for(lambda: not made.everything(), 30, "all job processes to end")


def submissions(name: str) -> list[dict[str, Any]]:
    """What the cluster says of a run's jobs, or of a job."""
    rows = httpx.get(f"{ray_cluster.shared().address}/api/jobs/", timeout=30, trust_env=False).json()
    return [row for row in rows if name.removeprefix("rl-") in (row["submission_id"] or "")]


def alive(name: str) -> list[str]:
    """Those of them that have not ended."""
    return [row["submission_id"] for row in submissions(name) if row["status"] in ("PENDING", "RUNNING")]


def test_a_starter_run_completes_on_two_nodes_by_one_call(plane: ControlPlane) -> None:
    request = RunCreate(max_steps=3, num_workers=1, evaluation=Evaluation(num_problems=8, samples_per_problem=1))
    created = plane.client.create_run(request)
    view = plane.wait_for_end(created.run_id, 200)
    assert view.status == RunStatus.COMPLETED, plane.story(created.run_id)
    assert view.policy_version == 3
    rows = submissions(created.run_id)
    assert {row["metadata"]["skyscale-job"].split("-")[1] for row in rows} == {"policy", "trainer", "worker"}
    assert len({row["driver_agent_http_address"].split(":")[1] for row in rows}) == 2, "they shared one node"
    wait_for(lambda: not alive(created.run_id), 30, "the cluster to be free")


def test_delete_ends_every_process_on_the_cluster_and_a_new_control_plane_adopts_what_lives(
    plane: ControlPlane,
) -> None:
    created = plane.client.create_run(RunCreate(num_workers=1, max_steps=10_000))
    wait_for(lambda: len(plane.everything()) == 3, 120, "policy, trainer and worker to run")
    before = {process.pid for process in plane.everything()}
    plane.kill()
    plane.start()
    wait_for(lambda: plane.story(created.run_id).count("job.adopted") == 3, 60, "the jobs to be adopted")
    assert {process.pid for process in plane.everything()} == before
    plane.client.stop_run(created.run_id)
    assert plane.wait_for_end(created.run_id, 60).status == RunStatus.STOPPED
    assert plane.everything() == []
    assert not alive(created.run_id)


def test_a_job_that_waits_for_its_accelerators_is_cancelled_and_never_runs(plane: ControlPlane) -> None:
    def status(job_id: str) -> str:
        return plane.client.job(job_id).job.status.value

    def submit(code: str) -> str:
        body = TrainingJobCreate(command=["python3", "-c", code], gpu_model="a100:2", provider="ray")
        return plane.client.create_job(body).job_id

    first = submit("import os, time; print('sees', os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(90)")
    wait_for(lambda: "sees 0,1" in plane.client.job(first).logs, 60, "the first job to run")
    second = submit("print('RAN')")
    wait_for(lambda: len(submissions(second)) == 1, 60, "the second job to wait")
    assert status(second) == "starting"
    for job_id in (second, first):
        httpx.delete(f"{plane.url}/api/training/jobs/{job_id}", timeout=30, trust_env=False).raise_for_status()
        wait_for(lambda job_id=job_id: status(job_id) == "cancelled", 60, "the end of the job")
    wait_for(lambda: not alive(first) and not alive(second), 60, "the cluster to be free")
    assert "RAN" not in plane.client.job(second).logs


def test_capacity_chooses_the_node_by_its_label(plane: ControlPlane) -> None:
    for job_id, capacity, node in (("job-kept", "on_demand", "127.0.0.2"), ("job-spot", "preemptible", "127.0.0.3")):
        plane.client.create_job(
            TrainingJobCreate(job_id=job_id, command=["python3", "-c", "print(1)"], capacity=capacity, timeout_s=60)
        )
        wait_for(lambda job_id=job_id: plane.client.job(job_id).job.status == "succeeded", 90, f"{job_id} to end")
        (row,) = submissions(job_id)
        assert f"//{node}:" in row["driver_agent_http_address"], capacity
