"""Interactive sandboxes over HTTP: make, run programs, move files, destroy. For operators: job tokens open nothing."""

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from skyscale.api.deps import Caller, Parts, body_of, read_body, reply
from skyscale.api.errors import RESPONSES
from skyscale.api.forwarding import here_or_there
from skyscale.auth.principal import Principal, require_operator
from skyscale.boxes.running import Running
from skyscale.wire.sandboxes import (
    ExecReply,
    ExecRequest,
    SandboxCreate,
    SandboxFiles,
    SandboxFileWritten,
    SandboxPage,
    SandboxView,
)

router = APIRouter(prefix="/api/sandboxes", tags=["sandboxes"], responses=RESPONSES)
LINES = "application/x-ndjson"
SandboxId = Annotated[str, Path(max_length=80, pattern=r"^[A-Za-z0-9_-]+$", description="The sandbox's id, `sb-...`")]
FilePath = Annotated[str, Path(max_length=1024, description="Relative to the sandbox's working directory")]
_BYTES = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"format": "binary"}}}}}


@router.post(
    "",
    summary="Make a sandbox",
    description="Ready when the call returns. Idempotent by `sandbox_id`. 429 when a quota is reached.",
    operation_id="create_sandbox",
    status_code=201,
    response_model=SandboxView,
    openapi_extra=body_of(SandboxCreate),
)
async def create(request: Request, parts: Parts, caller: Caller) -> Response:
    """A place of its own: files stay until it is destroyed, there is no network."""
    return reply(await parts.boxes.create(_name(caller), await read_body(request, SandboxCreate)), 201)


@router.get("", summary="List sandboxes, newest first", operation_id="list_sandboxes", response_model=SandboxPage)
async def list_sandboxes(
    parts: Parts,
    caller: Caller,
    is_open: Annotated[bool | None, Query(description="Only open ones, or only destroyed ones")] = None,
    cursor: Annotated[str | None, Query(max_length=40)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """A page of the caller's sandboxes, destroyed ones included."""
    return reply(await parts.boxes.page(_name(caller), is_open=is_open, cursor=cursor, limit=limit))


@router.get("/{sandbox_id}", summary="Show a sandbox", operation_id="get_sandbox", response_model=SandboxView)
async def show(sandbox_id: SandboxId, parts: Parts, caller: Caller) -> Response:
    """Also one that was destroyed, with the reason."""
    return reply(await parts.boxes.get(_name(caller), sandbox_id))


@router.delete("/{sandbox_id}", summary="Destroy a sandbox", operation_id="destroy_sandbox", status_code=204)
async def destroy(sandbox_id: SandboxId, parts: Parts, caller: Caller) -> Response:
    """Ends its programs and forgets its files; again changes nothing."""
    await parts.boxes.destroy(_name(caller), sandbox_id)
    return Response(status_code=204)


@router.post(
    "/{sandbox_id}/exec",
    summary="Run a program",
    description="A fresh process on the sandbox's files; what it leaves running is ended with it. 409 while another "
    f"program runs, 410 when the sandbox was destroyed. With `Accept: {LINES}` or `stream=1` the reply is a stream of "
    "JSON lines (`ExecEvent`): output as it comes, then `end` with the result.",
    operation_id="exec_in_sandbox",
    response_model=ExecReply,
    openapi_extra=body_of(ExecRequest),
)
async def run(sandbox_id: SandboxId, request: Request, parts: Parts, caller: Caller, stream: bool = False) -> Response:
    """At once, or as a stream."""
    return await here_or_there(request, parts, _run(sandbox_id, request, parts, caller, stream))


async def _run(sandbox_id: str, request: Request, parts: Parts, caller: Caller, stream: bool) -> Response:
    running = await parts.boxes.start_exec(_name(caller), sandbox_id, await read_body(request, ExecRequest))
    if stream or LINES in request.headers.get("accept", ""):
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_lines(running), media_type=LINES, headers=headers)
    return reply(await running.result())


@router.get(
    "/{sandbox_id}/files",
    summary="List a directory",
    operation_id="list_sandbox_files",
    response_model=SandboxFiles,
)
async def list_files(
    sandbox_id: SandboxId,
    request: Request,
    parts: Parts,
    caller: Caller,
    path: Annotated[str, Query(max_length=1024)] = "",
) -> Response:
    """By name; links are shown and not followed."""

    async def listed() -> Response:
        return reply(await parts.files.list(_name(caller), sandbox_id, path))

    return await here_or_there(request, parts, listed())


@router.put(
    "/{sandbox_id}/files/{path:path}",
    summary="Write a file",
    description="The body is the file's content, as it is; directories on the way are made.",
    operation_id="write_sandbox_file",
    response_model=SandboxFileWritten,
    openapi_extra=_BYTES,
)
async def write_file(sandbox_id: SandboxId, path: FilePath, request: Request, parts: Parts, caller: Caller) -> Response:
    """Replaces a file of that name at once: nobody reads half of it."""
    name = _name(caller)  # before the body is read

    async def written() -> Response:
        return reply(await parts.files.write(name, sandbox_id, path, await request.body()))

    return await here_or_there(request, parts, written())


@router.post(
    "/{sandbox_id}/files/{path:path}",
    summary="Write a file (as PUT)",
    description="The same as PUT, for clients that upload by POST.",
    operation_id="upload_sandbox_file",
    response_model=SandboxFileWritten,
    openapi_extra=_BYTES,
)
async def upload_file(
    sandbox_id: SandboxId, path: FilePath, request: Request, parts: Parts, caller: Caller
) -> Response:
    """As `write_file`."""
    return await write_file(sandbox_id, path, request, parts, caller)


@router.get(
    "/{sandbox_id}/files/{path:path}",
    summary="Read a file",
    operation_id="read_sandbox_file",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def read_file(sandbox_id: SandboxId, path: FilePath, request: Request, parts: Parts, caller: Caller) -> Response:
    """Its bytes; only regular files, and no links."""
    return await here_or_there(request, parts, _read(sandbox_id, path, parts, caller))


async def _read(sandbox_id: str, path: str, parts: Parts, caller: Caller) -> Response:
    content = await parts.files.read(_name(caller), sandbox_id, path)
    # What a program wrote must never be taken for a page of ours.
    headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    return Response(content, media_type="application/octet-stream", headers=headers)


def _name(caller: Principal) -> str:
    """Whose quota counts."""
    require_operator(caller)
    return caller.kind


async def _lines(running: Running) -> AsyncGenerator[bytes]:
    events = running.events()
    try:
        async for event in events:
            yield event.model_dump_json().encode() + b"\n"
    finally:
        await events.aclose()
