"""Two control planes on one PostgreSQL and one S3 bucket: one is killed in the middle of a run, which completes."""

import subprocess

import pytest

from skyscale.sdk.client import Client
from skyscale.wire.runs import Algorithm, Evaluation, RunCreate, RunStatus
from tests.e2e.conftest import ControlPlane, wait_for
from tests.postgres import PostgresServer

pytestmark = pytest.mark.timeout(240)
STEPS = 25
REQUEST = RunCreate(
    max_steps=STEPS,
    num_workers=2,
    algorithm=Algorithm(groups_per_step=4),
    evaluation=Evaluation(num_problems=8, samples_per_problem=2),
)


def query(postgres: PostgresServer, plane: ControlPlane, sql: str) -> list[str]:
    """The lines of a query's answer."""
    return postgres.query(plane.environment["DATABASE_URL"].rpartition("/")[2], sql)


@pytest.mark.parametrize("victim", ["the leader", "the follower"])
def test_a_run_completes_though_one_of_two_control_planes_is_killed_in_the_middle(
    replicas: list[ControlPlane], postgres: PostgresServer, victim: str
) -> None:
    first, second = replicas  # the first to start leads
    both = Client(first.dialled, retry_for_s=20)
    run_id = both.create_run(REQUEST).run_id
    wait_for(lambda: both.get_run(run_id).policy_version >= 3, 90, "the third version")
    jobs = {process.pid for process in first.everything()}
    killed, other = (first, second) if victim == "the leader" else (second, first)
    killed.kill()
    view = other.wait_for_end(run_id, 150)
    assert view.status == RunStatus.COMPLETED, other.story(run_id)
    assert view.policy_version == view.serving_version == STEPS
    assert view.checkpoint is not None and view.checkpoint.startswith("s3://"), view.checkpoint
    assert {process.attempt for process in view.processes} == {1}, "its jobs went on"
    assert len(jobs) == 4
    versions = query(postgres, first, f"select version from policies where run_id = '{run_id}' order by version")
    assert versions == [str(version) for version in range(1, STEPS + 1)]
    twice = "select count(*) from buffer_leases where state = 'published'"
    assert query(postgres, first, twice) == [str(STEPS)]
    consumed = query(postgres, first, "select count(*) from buffer_groups where state = 'consumed'")
    assert consumed == [str(STEPS * REQUEST.algorithm.groups_per_step)]
    stats = other.client.buffer_stats(run_id)
    assert stats.pushed == stats.size + stats.leased + stats.consumed + stats.flat + stats.stale + stats.failed
    both.close()


def test_a_control_plane_that_stops_hands_over_and_the_last_one_ends_the_jobs(replicas: list[ControlPlane]) -> None:
    first, second = replicas
    run_id = first.client.create_run(REQUEST.model_copy(update={"max_steps": 1000})).run_id
    wait_for(lambda: second.client.get_run(run_id).policy_version >= 1, 90, "the first version")
    before = {process.pid for process in second.everything()}
    assert first.process is not None and second.process is not None
    first.process.terminate()
    first.process.wait(20)
    reached = second.client.get_run(run_id).policy_version
    wait_for(lambda: second.client.get_run(run_id).policy_version >= reached + 2, 60, "training to go on")
    assert {process.pid for process in second.everything()} == before
    second.process.terminate()
    try:
        second.process.wait(30)
    except subprocess.TimeoutExpired:
        pytest.fail("the last control plane did not stop")
    wait_for(lambda: not second.everything(), 5, "the jobs to be ended with the last control plane")
