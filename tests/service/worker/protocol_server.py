"""A control plane and a policy server reduced to the protocol that a worker speaks, on loopback ports."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


def refusal(status: int, code: str) -> JSONResponse:
    return JSONResponse({"status": status, "code": code, "detail": code, "hint": "", "request_id": "r"}, status)


@asynccontextmanager
async def listening(app: Starlette, port: int = 0) -> AsyncGenerator[str]:
    """The app's URL for the length of the block."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off", ws="none"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers a flag and no event
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await task


class Plane:
    """Grants `num_groups` tickets in all, and keeps what is finished."""

    def __init__(self, num_groups: int = 4, *, expires_in_s: float = 30.0) -> None:
        self.num_groups = num_groups
        self.expires_in_s = expires_in_s
        self.granted: dict[str, list[str]] = {}
        self.finished: dict[str, list[dict]] = {}
        self.heartbeats: list[dict] = []
        self.events: list[dict] = []
        self.policy_url: str | None = None
        self.desired = "run"
        self.heartbeat_refusal: JSONResponse | None = None
        self.ticket_refusal: JSONResponse | None = None
        self.finish_failures = 0
        self.app = Starlette(
            routes=[
                Route("/api/jobs/job-1/heartbeat", self.heartbeat, methods=["POST"]),
                Route("/api/rl/env/tickets", self.tickets, methods=["POST"]),
                Route("/api/rl/env/groups/{group_id}/finish", self.finish, methods=["POST"]),
                Route("/api/rl/runs/rl-1/events", self.event, methods=["POST"]),
            ]
        )

    async def heartbeat(self, request: Request) -> JSONResponse:
        self.heartbeats.append(await request.json())
        reply = {
            "desired": self.desired, "policy_url": self.policy_url, "policy_version": 0, "manifest_uri": None,
        }  # fmt: skip
        return self.heartbeat_refusal or JSONResponse(reply)

    async def tickets(self, request: Request) -> JSONResponse:
        if self.ticket_refusal:
            return self.ticket_refusal
        body = await request.json()
        so_far = sum(map(len, self.granted.values()))
        num = min(body["num_groups"], self.num_groups - so_far)
        ids = self.granted.setdefault(body["request_id"], [f"grp-{so_far + index}" for index in range(num)])
        groups = [
            {
                "group_id": group_id, "problem_id": "p-1", "messages": [{"role": "user", "content": group_id}],
                "group_size": 2, "purpose": "train", "version": 0, "seed": 1, "temperature": 1.0,
                "max_new_tokens": 8, "expires_in_s": self.expires_in_s,
            }
            for group_id in ids
        ]  # fmt: skip
        return JSONResponse({"groups": groups, "retry_after_s": 0.05})

    async def finish(self, request: Request) -> JSONResponse:
        if self.finish_failures > 0:
            self.finish_failures -= 1
            return refusal(503, "sandbox_failure")
        body, group_id = await request.json(), request.path_params["group_id"]
        self.finished.setdefault(group_id, []).append(body)
        num = len(body["episodes"])
        return JSONResponse({"rewards": [0.5] * num, "outcomes": ["scored"] * num, "accepted": num, "duplicates": 0})

    async def event(self, request: Request) -> JSONResponse:
        self.events.append(await request.json())
        return JSONResponse({}, 201)


class Policy:
    """Answers every chat with the same two tokens; remembers how many groups it had at once.

    The prompt `too_long` is refused as one that does not fit the model's context.
    """

    def __init__(self, *, delay_s: float = 0.02, too_long: str = "") -> None:
        self.delay_s, self.too_long = delay_s, too_long
        self.order: list[str] = []
        self.at_once = self.most_at_once = 0
        self.app = Starlette(routes=[Route("/v1/chat/completions", self.chat, methods=["POST"])])

    async def chat(self, request: Request) -> JSONResponse:
        body = await request.json()
        self.order.append(body["messages"][0]["content"])
        if body["messages"][0]["content"] == self.too_long:
            return refusal(400, "context_length_exceeded")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.delay_s)
        self.at_once -= 1
        choices = [
            {
                "index": index, "message": {"content": "```python\nx = 1\n```"}, "token_ids": [5, 6],
                "logprobs": {"content": [{"logprob": -0.1}, {"logprob": -0.2}]}, "versions": [0, 1],
                "finish_reason": "length" if index else "stop",
            }
            for index in range(body["n"])
        ]  # fmt: skip
        return JSONResponse({"prompt_token_ids": [1, 2, 3], "policy_version": 1, "choices": choices})
