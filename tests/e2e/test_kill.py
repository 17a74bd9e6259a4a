"""kill -9 of each process in mid-run: the run goes on to its end, nothing is lost, nothing is trained on twice."""

import sqlite3

import httpx
import pytest

from skyscale.wire.runs import Algorithm, Evaluation, RunCreate, RunStatus
from tests.e2e.conftest import ControlPlane, wait_for

pytestmark = pytest.mark.timeout(240)
STEPS = 40
REQUEST = RunCreate(
    max_steps=STEPS,
    algorithm=Algorithm(groups_per_step=8),
    evaluation=Evaluation(num_problems=8, samples_per_problem=2),
)


def assert_the_books_balance(plane: ControlPlane, run_id: str) -> None:
    """Every version consumed exactly its own batch, and every pushed group is accounted for once."""
    view = plane.client.get_run(run_id)
    stats = plane.client.buffer_stats(run_id)
    assert stats.pushed == stats.size + stats.leased + stats.consumed + stats.flat + stats.stale + stats.failed
    with sqlite3.connect(plane.folder / "skyscale.db") as database:
        versions = [row[0] for row in database.execute("select version from policies where run_id = ?", [run_id])]
        (consumed,) = database.execute("select count(*) from buffer_groups where state = 'consumed'").fetchone()
        (leases,) = database.execute("select count(*) from buffer_leases where state = 'published'").fetchone()
    assert sorted(versions) == list(range(1, view.policy_version + 1))
    assert leases == view.policy_version
    assert consumed == REQUEST.algorithm.groups_per_step * view.policy_version


def the_pids(plane: ControlPlane) -> dict[str, list[int]]:
    """Who plays, trains and serves."""
    return {role: [process.pid for process in plane.job_processes(role)] for role in ("worker", "trainer", "policy")}


def run_until_mid_flight(plane: ControlPlane, steps: int = STEPS) -> str:
    """Start a run and wait until it has published a few versions."""
    run_id = plane.client.create_run(REQUEST.model_copy(update={"max_steps": steps})).run_id
    wait_for(lambda: plane.client.get_run(run_id).policy_version >= 3, 90, "the third version")
    return run_id


def push_singles(plane: ControlPlane, run_id: str, numbers: range) -> int:
    """Push trajectories of our own over one connection; how many were acknowledged."""
    acknowledged = 0
    with httpx.Client(base_url=plane.url, timeout=10) as client:
        for number in numbers:
            push = {"run_id": run_id, "problem_id": "p", "prompt": "p", "code": "c", "reward": 0.5}
            reply = client.post("/api/rl/buffer/push", json=push | {"trajectory_id": f"mine-{number:04}"})
            assert reply.is_success, reply.text
            acknowledged += reply.json()["accepted"]
    return acknowledged


@pytest.mark.parametrize("role", ["worker", "trainer", "policy"])
def test_run_survives_the_kill_of_a_job(control_plane: ControlPlane, role: str) -> None:
    run_id = run_until_mid_flight(control_plane)
    (victim,) = control_plane.job_processes(role)
    victim.kill()
    view = control_plane.wait_for_end(run_id, 120)
    assert view.status == RunStatus.COMPLETED, control_plane.story(run_id)
    assert view.policy_version == view.serving_version == STEPS
    assert max(process.attempt for process in view.processes if process.role == role) == 2
    assert_the_books_balance(control_plane, run_id)


def test_run_survives_the_kill_of_the_control_plane_and_keeps_its_processes(control_plane: ControlPlane) -> None:
    run_id = run_until_mid_flight(control_plane, 2 * STEPS)
    before = the_pids(control_plane)
    acknowledged = push_singles(control_plane, run_id, range(40))
    control_plane.kill()
    control_plane.start()
    assert the_pids(control_plane) == before, "live processes are adopted, not started again"
    acknowledged += push_singles(control_plane, run_id, range(40, 50))
    view = control_plane.wait_for_end(run_id, 120)
    assert view.status == RunStatus.COMPLETED, control_plane.story(run_id)
    assert view.policy_version == 2 * STEPS
    assert acknowledged == 50
    with sqlite3.connect(control_plane.folder / "skyscale.db") as database:
        (kept,) = database.execute(
            "select count(*) from buffer_trajectories where trajectory_id like 'mine-%'"
        ).fetchone()
    assert kept == 50
    assert_the_books_balance(control_plane, run_id)
