"""The Jobs part of the Hugging Face Hub on loopback, as `huggingface_hub` speaks to it.

It checks what the Hub checks: the token, the namespace, each field of a new Job, the flavor, labels. Jobs run as real
processes; their stage, message and logs are told in the Hub's shapes. `faults` holds what goes wrong next.
"""

import asyncio
import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import jsonschema
from aiohttp import web

from tests.contract.clouds.container import Container

TOKEN, NAMESPACE = "hf_contract", "acme"
KILL_AFTER_S = 1.0
HOLD_S = 0.1
"""The Hub holds a live Job's log stream open; here for a moment only, since clients wait it out."""
PAGE = 3
FINAL = ("COMPLETED", "CANCELED", "ERROR", "DELETED")
NO_IMAGE = "registry.example/none:1"
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
PORTS = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}}
LABEL = "^[A-Za-z0-9_-]{1,100}$"
JOB_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["command", "arguments", "environment", "flavor", "dockerImage"],
    "additionalProperties": False,
    "properties": {
        "command": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "arguments": {"type": "array", "items": {"type": "string"}},
        "environment": STRINGS,
        "secrets": STRINGS,
        "flavor": {"enum": ["cpu-basic", "cpu-upgrade", "t4-small", "l4x1", "a100-large", "h200", "h200x2"]},
        "timeoutSeconds": {"type": "integer", "minimum": 1},
        "labels": {
            "type": "object", "propertyNames": {"pattern": LABEL},
            "additionalProperties": {"type": "string", "pattern": LABEL},
        },
        "expose": {
            "type": "object", "required": ["ports"], "additionalProperties": False,
            "properties": {"ports": PORTS, "portsPublic": PORTS},
        },
        "dockerImage": {"type": "string", "pattern": "^[a-z0-9][a-z0-9._/:@-]*$"},
    },
}  # fmt: skip
HARDWARE = [
    {
        "name": name, "prettyName": name, "cpu": "8 vCPU", "ram": "32 GB", "ephemeralStorage": "100 GB",
        "accelerator": accelerator, "unitCostMicroUSD": int(cents * 10_000 / 60), "unitCostUSD": cents / 6000,
        "unitLabel": "minute",
    }
    for name, cents, accelerator in (
        ("cpu-basic", 1, None),
        ("t4-small", 40, {"type": "gpu", "model": "T4", "quantity": "1", "vram": "16 GB", "manufacturer": "Nvidia"}),
        ("h200", 500, {"type": "gpu", "model": "H200", "quantity": "1", "vram": "141 GB", "manufacturer": "Nvidia"}),
        ("h200x2", 1000, {"type": "gpu", "model": "H200", "quantity": "2", "vram": "282 GB", "manufacturer": "Nvidia"}),
    )
]  # fmt: skip


@dataclass
class Job:
    """A Job of the Hub."""

    spec: dict[str, Any]
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    stage: str = "SCHEDULING"
    message: str | None = None
    container: Container = field(default_factory=Container)

    def view(self) -> dict[str, Any]:
        """As the Hub shows it: secrets by name only."""
        ports = self.spec.get("expose", {}).get("ports", [])
        return {
            "id": self.id, "createdAt": f"{self.created:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z", "startedAt": None,
            "finishedAt": None, "dockerImage": self.spec["dockerImage"], "command": self.spec["command"],
            "arguments": [], "environment": self.spec["environment"],
            "secrets": dict.fromkeys(self.spec["secrets"], ""),
            "flavor": self.spec["flavor"], "labels": self.spec.get("labels", {}),
            "status": {
                "stage": self.stage, "message": self.message,
                "exposeUrls": [f"https://{self.id}--{port}.hf.jobs" for port in ports] or None,
            },
            "owner": {"id": "5e9ecfc04957053f60648a3e", "name": NAMESPACE, "type": "org"},
            "initiator": {"type": "user", "id": "5e9ecfc04957053f60648a3f", "name": "me"},
            "expose": self.spec.get("expose"),
        }  # fmt: skip


@dataclass
class Faults:
    """What goes wrong; a name says what and when."""

    lose_next_reply: bool = False
    answer_next_post: tuple[int, str] | None = None
    answer_all: int | None = None
    slow_post_s: float = 0.0
    never_schedules: bool = False
    hold_s: float = HOLD_S


class Hub:
    """The server's state and routes."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.faults = Faults()
        self.posts = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[self._door])
        app.router.add_get("/api/jobs/hardware", self._hardware)
        app.router.add_post("/api/jobs/{space}", self._create)
        app.router.add_get("/api/jobs/{space}", self._list)
        app.router.add_get("/api/jobs/{space}/{id}", self._inspect)
        app.router.add_get("/api/jobs/{space}/{id}/logs", self._logs)
        app.router.add_post("/api/jobs/{space}/{id}/cancel", self._cancel)
        return app

    async def close(self) -> None:
        """End every Job."""
        self._is_closed = True  # a client that tries again starts nothing any more
        for job in list(self.jobs.values()):
            await job.container.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @web.middleware
    async def _door(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.faults.answer_all is not None:
            return _error(self.faults.answer_all, "the Hub is down")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _error(401, "Invalid username or password.")
        if request.match_info.get("space", NAMESPACE) != NAMESPACE:
            return _error(404, "Namespace not found")
        return await handler(request)

    async def _hardware(self, request: web.Request) -> web.StreamResponse:
        return await _json(HARDWARE)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        self.posts += 1
        if self.faults.answer_next_post is not None:
            (status, message), self.faults.answer_next_post = self.faults.answer_next_post, None
            return _error(status, message)
        spec = await request.json()
        try:
            jsonschema.validate(spec, JOB_SCHEMA)
        except jsonschema.ValidationError as error:
            return _error(400, f"{'.'.join(map(str, error.absolute_path))}: {error.message}")
        job = Job(spec)
        await asyncio.sleep(self.faults.slow_post_s)
        self.jobs[job.id] = job
        task = asyncio.create_task(self._run(job))
        self._tasks.add(task)
        if self.faults.lose_next_reply:
            self.faults.lose_next_reply = False
            assert request.transport is not None
            request.transport.abort()
        return await _json(job.view())

    async def _run(self, job: Job) -> None:
        if self.faults.never_schedules or self._is_closed:
            return
        if job.spec["dockerImage"] == NO_IMAGE:
            job.stage, job.message = "ERROR", f"Failed to pull image {NO_IMAGE}: not found"
            return
        env = job.spec["environment"] | job.spec.get("secrets", {}) | {"JOB_ID": job.id, "ACCELERATOR": ""}
        await job.container.start(job.spec["command"], env, job.spec.get("timeoutSeconds", 1800))
        job.stage = "RUNNING"
        await job.container.ended(1e6)
        if job.stage == "RUNNING":
            self._ended(job)

    def _ended(self, job: Job) -> None:
        code = job.container.code
        if job.container.timed_out:
            job.stage, job.message = "ERROR", "Job timeout"
        elif code == 0:
            job.stage = "COMPLETED"
        else:
            job.stage, job.message = "ERROR", f"Job failed with exit code: {code}. Reason: Error"

    async def _list(self, request: web.Request) -> web.StreamResponse:
        stages, marks = request.query.getall("stage", []), request.query.getall("label", [])
        found = [
            job
            for job in sorted(self.jobs.values(), key=lambda job: job.created, reverse=True)
            if (not stages or job.stage in stages)
            and all(
                job.spec.get("labels", {}).get(key) == value for key, value in (each.split("=", 1) for each in marks)
            )
        ]
        start = int(request.query.get("cursor", "0"))
        reply = await _json([job.view() for job in found[start : start + PAGE]])
        if len(found) > start + PAGE:
            reply.headers["Link"] = f'<{request.url.update_query(cursor=str(start + PAGE))}>; rel="next"'
        return reply

    async def _inspect(self, request: web.Request) -> web.StreamResponse:
        job = self.jobs.get(request.match_info["id"])
        return _error(404, "Job not found") if job is None else await _json(job.view())

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        job = self.jobs.get(request.match_info["id"])
        if job is None:
            return _error(404, "Job not found")
        if job.stage in FINAL:
            return _error(400, f"Job is {job.stage}")
        self._tasks.add(asyncio.create_task(self._end(job)))
        return await _json(job.view())

    async def _end(self, job: Job) -> None:
        await job.container.stop(KILL_AFTER_S)
        job.stage = "CANCELED"

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        job = self.jobs.get(request.match_info["id"])
        if job is None:
            return _error(404, "Job not found")
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        started = [(job.created.timestamp(), f"===== Job started at {job.created:%Y-%m-%d %H:%M:%S} =====")]
        tail = int(request.query.get("tail", "1000000"))
        for at, line in (started + job.container.lines)[-tail:]:
            told = f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
            await reply.write(f"data: {json.dumps({'data': line, 'timestamp': told})}\n\n".encode())
        if job.stage not in FINAL:
            await asyncio.sleep(self.faults.hold_s)
        return reply


async def _json(body: Any) -> web.Response:
    return web.json_response(body)


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status, headers={"X-Error-Message": message})
