"""A real worker against a real loopback server that speaks the protocol."""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from skyscale.sdk.jobs import AsyncJobClient
from skyscale.wire.jobs import JobAssignment
from skyscale.wire.runs import Algorithm, Evaluation, RunSpec, Sampling
from skyscale.worker.loop import Worker

sys.path.insert(0, str(Path(__file__).parent))

from protocol_server import Plane, Policy, listening, refusal


def assignment(**changes: object) -> JobAssignment:
    spec = RunSpec(
        run_id="rl-1", base_model="skyscale/starter", num_workers=1, gpu_model="cpu", provider="local",
        problem_set="embedded", difficulty=None, algorithm=Algorithm(group_size=2), sampling=Sampling(),
        evaluation=Evaluation(), mode="async", seed=0, max_steps=None, max_hours=None, target_reward=None,
        max_concurrent_groups=3, checkpoint_every=1, keep_versions=3,
    ).model_copy(update=changes)  # fmt: skip
    return JobAssignment(
        job_id="job-1", run_id="rl-1", role="worker", index=0, attempt=1, spec=spec, model_path="m",
        artifact_root="file:///tmp", heartbeat_s=0.05,
    )  # fmt: skip


async def until(condition, timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - conditions are of the server, in plain data
            await asyncio.sleep(0.01)


@pytest.fixture
async def stage():
    """Starts a plane, a policy and a worker; ends them all."""
    async with AsyncExitStack() as stack:

        async def start(plane: Plane, policy: Policy | None, **changes: object) -> asyncio.Task[int]:
            url = await stack.enter_async_context(listening(plane.app))
            if policy:
                plane.policy_url = await stack.enter_async_context(listening(policy.app))
            client = await stack.enter_async_context(AsyncJobClient(url, "t", "job-1", retry_for_s=2))
            task = asyncio.create_task(Worker(client, assignment(**changes)).run())
            stack.callback(task.cancel)
            return task

        yield start


async def test_groups_are_played_and_finished_with_their_tokens(stage):
    plane, policy = Plane(num_groups=7), Policy()
    worker = await stage(plane, policy)
    await until(lambda: len(plane.finished) == 7)
    (group,) = plane.finished["grp-0"]
    assert group["prompt_ids"] == [1, 2, 3]
    first, second = group["episodes"]
    assert (first["completion_ids"], first["logprobs"], first["versions"]) == ([5, 6], [-0.1, -0.2], [0, 1])
    assert (first["code"], first["text"]) == ("x = 1\n", "```python\nx = 1\n```")
    assert (first["is_truncated"], second["is_truncated"]) == (False, True)
    assert "reward" not in first
    assert policy.most_at_once == 3
    plane.desired = "finish"
    assert await asyncio.wait_for(worker, 5) == 0
    assert plane.heartbeats[-1]["detail"] == "finished"
    assert sum(beat["metrics"]["trajectories_per_s"] > 0 for beat in plane.heartbeats) >= 1


async def test_finish_plays_what_is_in_flight_and_takes_no_more(stage):
    plane, policy = Plane(num_groups=1000), Policy(delay_s=0.3)
    worker = await stage(plane, policy)
    await until(lambda: policy.at_once == 3)
    plane.desired = "finish"
    assert await asyncio.wait_for(worker, 5) == 0
    granted = [group_id for ids in plane.granted.values() for group_id in ids]
    assert sorted(plane.finished) == sorted(granted)
    assert len(granted) <= 6


@pytest.mark.parametrize("refused", ["heartbeat_refusal", "ticket_refusal"])
async def test_gone_ends_the_worker_at_once_with_exit_code_0(stage, refused):
    plane = Plane(num_groups=5)
    worker = await stage(plane, Policy(delay_s=20))
    if refused == "heartbeat_refusal":
        await until(lambda: plane.granted)
    setattr(plane, refused, refusal(410, "job_ended"))
    assert await asyncio.wait_for(worker, 5) == 0
    assert plane.finished == {}


async def test_no_ticket_is_taken_before_a_policy_server_is_known(stage):
    plane = Plane()
    await stage(plane, None)
    await until(lambda: len(plane.heartbeats) >= 3)
    assert plane.granted == {}
    assert plane.heartbeats[-1]["detail"] == "waiting for the policy server"


async def test_a_restarted_policy_server_at_a_new_address_gets_the_same_groups(stage):
    plane, second = Plane(num_groups=3), Policy()
    plane.policy_url = "http://127.0.0.1:9"  # the discard port: nobody listens
    await stage(plane, None)
    await until(lambda: plane.granted)
    assert plane.finished == {}
    async with listening(second.app) as url:
        plane.policy_url = url
        await until(lambda: len(plane.finished) == 3)
    assert sorted(second.order) == ["grp-0", "grp-1", "grp-2"]
    assert plane.events == []


async def test_a_group_that_outlives_its_ticket_is_abandoned_and_never_finished(stage):
    plane = Plane(num_groups=2, expires_in_s=0.3)
    await stage(plane, Policy(delay_s=30))
    await until(lambda: len(plane.events) == 2)
    assert {event["kind"] for event in plane.events} == {"group.abandoned"}
    assert plane.events[0]["component"] == "worker-0"
    assert "before the ticket expired" in plane.events[0]["message"]
    assert plane.finished == {}


async def test_a_prompt_that_does_not_fit_the_context_costs_its_group_alone_and_is_told(stage):
    plane, policy = Plane(num_groups=3), Policy(too_long="grp-1")
    await stage(plane, policy)
    await until(lambda: len(plane.finished) == 2 and plane.events)
    assert sorted(plane.finished) == ["grp-0", "grp-2"]
    (event,) = plane.events
    assert (event["kind"], event["data"]["code"]) == ("group.abandoned", "context_length_exceeded")
    assert "p-1" in event["message"]
    assert policy.order.count("grp-1") == 1, "it would be refused again"


async def test_a_finish_that_fails_in_passing_is_asked_again(stage):
    plane = Plane(num_groups=1)
    plane.finish_failures = 2
    await stage(plane, Policy())
    await until(lambda: plane.finished)
    assert [len(bodies) for bodies in plane.finished.values()] == [1]
    assert plane.events == []


async def test_synchronous_mode_plays_one_group_at_a_time_in_ticket_order(stage):
    plane, policy = Plane(num_groups=5), Policy(delay_s=0.005)
    await stage(plane, policy, mode="synchronous")
    await until(lambda: len(plane.finished) == 5)
    assert policy.order == [f"grp-{index}" for index in range(5)]
    assert policy.most_at_once == 1
    assert list(plane.finished) == policy.order


class OneByOne(Policy):
    """Ends a group when it is told to, the oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[asyncio.Event] = []

    async def chat(self, request):
        ends = asyncio.Event()
        self.waiting.append(ends)
        await ends.wait()
        return await super().chat(request)

    def end_one(self) -> None:
        self.waiting.pop(0).set()


async def test_groups_that_end_soon_after_one_another_are_replaced_by_one_call(stage):
    plane, policy = Plane(num_groups=1000), OneByOne()
    await stage(plane, policy, max_concurrent_groups=8)
    await until(lambda: len(policy.waiting) == 8)
    asked = len(plane.granted)
    policy.end_one()
    await asyncio.sleep(0.03)
    policy.end_one()
    await until(lambda: len(policy.waiting) == 8)
    assert [len(ids) for ids in plane.granted.values()][asked:] == [2]


async def test_a_free_place_does_not_wait_for_a_second_one_that_does_not_come(stage):
    plane, policy = Plane(num_groups=1000), OneByOne()
    await stage(plane, policy, max_concurrent_groups=8)
    await until(lambda: len(policy.waiting) == 8)
    policy.end_one()
    await until(lambda: len(policy.waiting) == 8, 1.0)
    assert len(plane.granted) == 2
