"""What a control plane may ask of a host. Every call but `/health` needs the token, where there is one."""

import hmac
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse

from skyscale.api.bodies import read_body, reply
from skyscale.api.host.parts import HostParts
from skyscale.api.locality import is_local
from skyscale.boxes.running import Running
from skyscale.errors import Unauthorized, Unavailable
from skyscale.wire.hosts import HostHealth, HostReport, JudgeReply, JudgeRequest
from skyscale.wire.sandboxes import ExecRequest, SandboxCreate

LINES = "application/x-ndjson"
SandboxId = Annotated[str, Path(max_length=80, pattern=r"^[A-Za-z0-9_-]+$")]
FilePath = Annotated[str, Path(max_length=1024)]


async def parts_of(request: Request) -> HostParts:
    """The host's parts, for whoever may ask. Raises Unauthorized."""
    parts: HostParts = request.app.state.parts
    secret = parts.settings.token
    if secret is None:
        if is_local(request.scope) and "authorization" not in request.headers:
            return parts
        raise Unauthorized("this sandbox host has no SKYSCALE_HOST_TOKEN: it answers its own machine only")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = token.strip().encode("utf-8", "surrogateescape")
    if scheme.lower() != "bearer" or not hmac.compare_digest(secret.get_secret_value().encode(), given):
        raise Unauthorized("this sandbox host needs its SKYSCALE_HOST_TOKEN", code="wrong_host_token")
    return parts


Parts = Annotated[HostParts, Depends(parts_of)]
router = APIRouter()


@router.get("/health")
async def health(request: Request) -> Response:
    """That it is there."""
    parts: HostParts = request.app.state.parts
    return reply(HostHealth(status="draining" if parts.is_draining else "ok", host_id=parts.host_id))


@router.get("/report")
async def report(parts: Parts) -> HostReport:
    """How it fares."""
    return parts.report()


@router.post("/judge")
async def judge(request: Request, parts: Parts) -> Response:
    """Verdicts in the order of the programs."""
    if parts.is_draining:
        raise Unavailable("this host takes nothing new", code="host_draining", hint="Another host will.")
    body = await read_body(request, JudgeRequest)
    with parts.judging(len(body.codes)):
        verdicts = await parts.judge.judge_all(parts.same(body.problem), body.codes)
    parts.judged_total += len(verdicts)
    return reply(JudgeReply(verdicts=verdicts))


@router.post("/sandboxes", status_code=201)
async def create(request: Request, parts: Parts) -> Response:
    """Make a sandbox; idempotent by its id."""
    await parts.boxes.create(await read_body(request, SandboxCreate))
    return Response(status_code=201)


@router.post("/sandboxes/{sandbox_id}/exec")
async def run(sandbox_id: SandboxId, request: Request, parts: Parts) -> Response:
    """A program's events as JSON lines; the program ends when the caller goes away."""
    running = await parts.boxes.start_exec(sandbox_id, await read_body(request, ExecRequest))
    return StreamingResponse(_lines(running), media_type=LINES, headers={"Cache-Control": "no-store"})


@router.get("/sandboxes/{sandbox_id}/files")
async def list_files(sandbox_id: SandboxId, parts: Parts, path: str = "") -> Response:
    """A directory."""
    return reply(await parts.files.list("", sandbox_id, path))


@router.put("/sandboxes/{sandbox_id}/files/{path:path}")
async def write_file(sandbox_id: SandboxId, path: FilePath, request: Request, parts: Parts) -> Response:
    """Replace a file."""
    return reply(await parts.files.write("", sandbox_id, path, await request.body()))


@router.get("/sandboxes/{sandbox_id}/files/{path:path}")
async def read_file(sandbox_id: SandboxId, path: FilePath, parts: Parts) -> Response:
    """A file's bytes."""
    content = await parts.files.read("", sandbox_id, path)
    return Response(content, media_type="application/octet-stream", headers={"X-Content-Type-Options": "nosniff"})


@router.delete("/sandboxes/{sandbox_id}", status_code=204)
async def destroy(sandbox_id: SandboxId, parts: Parts) -> Response:
    """End a sandbox; again changes nothing."""
    await parts.boxes.drop([sandbox_id])
    return Response(status_code=204)


async def _lines(running: Running) -> AsyncGenerator[bytes]:
    events = running.events()
    try:
        async for event in events:
            yield event.model_dump_json().encode() + b"\n"
    finally:
        await events.aclose()
