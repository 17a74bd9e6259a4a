"""A real worker plays groups by turns, against a loopback control plane and policy server."""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from skyscale.sdk.jobs import AsyncJobClient
from skyscale.wire.batches import GroupPush
from skyscale.wire.episodes import Outcome
from skyscale.wire.jobs import JobAssignment
from skyscale.wire.runs import Algorithm, Evaluation, RunSpec, Sampling
from skyscale.worker.loop import Worker

sys.path.insert(0, str(Path(__file__).parent))

from protocol_server import Plane, Policy, listening, refusal


class TurnPlane(Plane):
    """Episode 0 is right at once, 1 at its second turn, 2 never."""

    def __init__(self, *, environment: str = "code", max_turns: int = 3) -> None:
        super().__init__(num_groups=1)
        self.environment, self.max_turns = environment, max_turns
        self.turns: list[dict] = []
        self.calls: list[str] = []
        self.lost_at: int | None = None
        self.pushed: dict[str, dict] = {}
        self.app.router.routes.append(Route("/api/rl/buffer/push", self.push, methods=["POST"]))
        for name in ("open", "turn", "close"):
            route = Route(f"/api/rl/env/groups/{{group_id}}/{name}", getattr(self, name), methods=["POST"])
            self.app.router.routes.append(route)

    async def tickets(self, request: Request) -> JSONResponse:
        import orjson

        reply = orjson.loads((await super().tickets(request)).body)
        changes = {"environment": self.environment, "max_turns": self.max_turns, "group_size": 3}
        return JSONResponse(reply | {"groups": [group | changes for group in reply.get("groups", [])]})

    async def push(self, request: Request) -> JSONResponse:
        body = await request.json()
        self.pushed[body["group_id"]] = body
        return JSONResponse({"accepted": len(body["trajectories"]), "duplicates": 0})

    async def open(self, request: Request) -> JSONResponse:
        self.calls.append("open")
        return JSONResponse({"messages": [{"role": "user", "content": "a game"}]})

    async def close(self, request: Request) -> Response:
        self.calls.append("close")
        return Response(status_code=204)

    async def turn(self, request: Request) -> JSONResponse:
        body = await request.json()
        self.turns.append(body)
        if body["turn"] == self.lost_at:
            return refusal(409, "session_lost")
        return JSONResponse({"results": [self.result(body["turn"], action) for action in body["actions"]]})

    def result(self, turn: int, action: dict) -> dict:
        is_right = action["episode"] <= turn and action["episode"] < 2
        is_over = is_right or turn + 1 == self.max_turns or action["is_truncated"]
        return {
            "episode": action["episode"], "reward": float(is_right), "episode_reward": float(is_right),
            "done": is_over, "outcome": "scored", "observation": "" if is_over else f"wrong {turn}",
            "passed_tests": int(is_right), "total_tests": 1, "parts": {"style": 0.5},
        }  # fmt: skip


class TurnPolicy(Policy):
    """Answers with token 100 + the length of the prompt; a continued prompt gains 7, 8."""

    def __init__(self, *, longest: int = 1000) -> None:
        super().__init__()
        self.longest = longest
        self.continued: list[dict] = []
        self.app.router.routes.append(Route("/v1/completions", self.completion, methods=["POST"]))

    async def chat(self, request: Request) -> JSONResponse:
        body = await request.json()
        self.order.append(body["messages"][0]["content"])
        choices = [self.choice(index, 3) | {"message": {"content": "pass"}} for index in range(body["n"])]
        return JSONResponse({"prompt_token_ids": [1, 2, 3], "policy_version": 4, "choices": choices})

    async def completion(self, request: Request) -> JSONResponse:
        body = await request.json()
        self.continued.append(body)
        prompt = [*body["prompt"], 7, 8]
        if len(prompt) > self.longest:
            return refusal(400, "context_length_exceeded")
        choice = self.choice(0, len(prompt)) | {"text": f"again {len(prompt)}"}
        return JSONResponse({"prompt_token_ids": prompt, "policy_version": 5, "choices": [choice]})

    def choice(self, index: int, length: int) -> dict:
        return {
            "index": index, "token_ids": [100 + length, 2], "token_logprobs": [-0.5, -0.25],
            "versions": [length, length], "finish_reason": "stop",
        }  # fmt: skip


def assignment() -> JobAssignment:
    spec = RunSpec(
        run_id="rl-1", base_model="skyscale/starter", num_workers=1, gpu_model="cpu", provider="local",
        problem_set="embedded", difficulty=None, algorithm=Algorithm(group_size=3), sampling=Sampling(),
        evaluation=Evaluation(), mode="async", seed=0, max_steps=None, max_hours=None, target_reward=None,
        max_concurrent_groups=3, checkpoint_every=1, keep_versions=3, max_turns=3,
    )  # fmt: skip
    return JobAssignment(
        job_id="job-1", run_id="rl-1", role="worker", index=0, attempt=1, spec=spec, model_path="m",
        artifact_root="file:///tmp", heartbeat_s=0.05,
    )  # fmt: skip


async def played(plane: TurnPlane, policy: TurnPolicy) -> GroupPush | None:
    """What one worker pushes, or None when it gives the group up."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(listening(plane.app))
        plane.policy_url = await stack.enter_async_context(listening(policy.app))
        client = await stack.enter_async_context(AsyncJobClient(url, "t", "job-1", retry_for_s=2))
        task = asyncio.create_task(Worker(client, assignment()).run())
        stack.callback(task.cancel)
        async with asyncio.timeout(20):
            while not plane.pushed and not plane.events:  # noqa: ASYNC110 - the server keeps plain data
                await asyncio.sleep(0.01)
    body = plane.pushed.get("grp-0")
    return None if body is None else GroupPush.model_validate(body)


async def test_each_episode_goes_on_from_its_own_tokens_until_it_is_right():
    plane, policy = TurnPlane(), TurnPolicy()
    group = await played(plane, policy)
    assert group is not None and group.prompt_ids == [1, 2, 3]
    right, later, never = group.trajectories
    assert (right.completion_ids, right.reward, len(right.turns)) == ([103, 2], 1.0, 1)
    assert later.completion_ids == [103, 2, 7, 8, 107, 2]
    assert later.logprobs == [-0.5, -0.25, 0.0, 0.0, -0.5, -0.25]
    assert later.versions == [3, 3, 3, 3, 7, 7], "what nobody sampled has the version before it"
    assert later.loss_mask == [True, True, False, False, True, True]
    assert (later.reward, later.text, later.code, later.outcome) == (1.0, "again 7", "again 7", Outcome.SCORED)
    first, second = later.turns
    assert (first.reward, first.feedback, first.text) == (0.0, "wrong 0", "pass")
    assert (second.reward, second.feedback, second.parts) == (1.0, "", {"style": 0.5})
    assert (never.reward, [turn.reward for turn in never.turns]) == (0.0, [0.0] * 3)
    assert [[a["episode"] for a in turn["actions"]] for turn in plane.turns] == [[0, 1, 2], [1, 2], [2]]
    asked = policy.continued[0]
    assert asked["prompt"] == [1, 2, 3, 103, 2], "the ids that were sampled, as they were sampled"
    assert asked["append_messages"] == [{"role": "user", "content": "wrong 0"}]
    assert len({body["seed"] for body in policy.continued}) == 3, "every answer is drawn by itself"
    assert plane.calls == []


async def test_an_episode_without_room_for_another_turn_ends_as_truncated():
    group = await played(TurnPlane(), TurnPolicy(longest=8))
    assert group is not None
    right, later, never = group.trajectories
    assert [t.outcome for t in (right, later, never)] == [Outcome.SCORED, Outcome.SCORED, Outcome.TRUNCATED]
    assert len(never.turns) == 2 and never.turns[-1].feedback == ""


async def test_a_held_environment_is_opened_first_and_closed_when_it_is_left_early():
    plane, policy = TurnPlane(environment="python"), TurnPolicy(longest=8)
    assert await played(plane, policy) is not None
    assert policy.order == ["a game"]
    assert plane.calls == ["open", "close"]


async def test_a_lost_environment_gives_the_group_up_and_says_so():
    plane = TurnPlane(environment="http")
    plane.lost_at = 1
    assert await played(plane, TurnPolicy()) is None
    assert (plane.events[0]["kind"], plane.events[0]["data"]["code"]) == ("group.abandoned", "session_lost")
    assert plane.calls == ["open", "close"]


async def test_a_policy_server_that_changes_earlier_tokens_is_not_believed():
    class Forgetful(TurnPolicy):
        async def completion(self, request: Request) -> JSONResponse:
            choice = self.choice(0, 3) | {"text": "x"}
            return JSONResponse({"prompt_token_ids": [1, 2, 3, 9, 9, 9], "policy_version": 5, "choices": [choice]})

    plane = TurnPlane()
    assert await played(plane, Forgetful()) is None
    assert "changed the tokens of earlier turns" in plane.events[0]["message"]


@pytest.mark.parametrize("code", ["pass"])
def test_the_actions_of_a_code_environment_carry_the_program(code: str):
    from skyscale.worker.generation import Completion
    from skyscale.worker.talk import Talk

    talk = Talk(2, [1])
    talk.answered(Completion(f"```python\n{code}\n```", [5], [-1.0], [0], is_truncated=True))
    action = talk.action(code)
    assert (action.episode, action.code, action.is_truncated) == (2, code, True)
