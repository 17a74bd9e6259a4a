"""Problem sets over HTTP: upload as a stream, list, show, look into, delete."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from skyscale.api.deps import Caller, Parts, reply
from skyscale.api.errors import RESPONSES, details
from skyscale.auth.principal import require_operator, require_reader
from skyscale.errors import BadRequest, SkyscaleError
from skyscale.problems.service import Filter, ProblemSetService
from skyscale.problems.uploads import Staged
from skyscale.wire.problem_sets import (
    SET_REF_PATTERN,
    ProblemSample,
    ProblemSetList,
    ProblemSetUpload,
    ProblemSetUploaded,
    ProblemSetView,
    UploadEvent,
)
from skyscale.wire.problems import Difficulty, Split

router = APIRouter(prefix="/api/rl/problem-sets", tags=["problem sets"], responses=RESPONSES)
LINES = "application/x-ndjson"
Ref = Annotated[str, Path(max_length=140, pattern=SET_REF_PATTERN, description="`name`, or `name@version`")]
_JSONL: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One problem a line, see docs/problem-format.md",
        "content": {LINES: {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post(
    "",
    summary="Upload a problem set",
    description="The body is a JSONL file of up to 200 MB, received as a stream. Every line is checked; 422 names the "
    "first 20 mistakes with their lines. The same content again is the same version (200 instead of 201). With "
    f"`Accept: {LINES}` the reply is a stream of JSON lines (`UploadEvent`): progress, then `done` or `error`.",
    operation_id="upload_problem_set",
    status_code=201,
    response_model=ProblemSetUploaded,
    openapi_extra=_JSONL,
)
async def upload(
    request: Request, parts: Parts, caller: Caller, options: Annotated[ProblemSetUpload, Query()]
) -> Response:
    """Kept once everything was checked; until then nobody sees it."""
    require_operator(caller)
    staged = await parts.problem_sets.receive(_chunks(request))
    if LINES in request.headers.get("accept", ""):
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        request_id = request.scope.get("request_id", "")
        lines = _lines(parts.problem_sets, staged, options, request_id)
        return StreamingResponse(lines, media_type=LINES, headers=headers)
    uploaded = await parts.problem_sets.keep(staged, options)
    return reply(uploaded, 201 if uploaded.created else 200)


@router.get("", summary="List problem sets", operation_id="list_problem_sets", response_model=ProblemSetList)
async def list_sets(parts: Parts, caller: Caller) -> Response:
    """By name, each with its current version; the embedded one is first."""
    require_reader(caller, None)
    return reply(await parts.problem_sets.overview())


@router.get("/{ref}", summary="Show a problem set", operation_id="get_problem_set", response_model=ProblemSetView)
async def show(ref: Ref, parts: Parts, caller: Caller) -> Response:
    """Its versions with their counts by split, difficulty, style, trust and tag, and the live runs that play them."""
    require_reader(caller, None)
    return reply(await parts.problem_sets.show(ref))


@router.get(
    "/{ref}/problems",
    summary="Look into a problem set",
    operation_id="sample_problem_set",
    response_model=ProblemSample,
)
async def sample(
    ref: Ref,
    parts: Parts,
    caller: Caller,
    split: Split | None = None,
    difficulty: Difficulty | None = None,
    tag: Annotated[str | None, Query(max_length=40)] = None,
    cursor: Annotated[int, Query(ge=0, lt=2**31, description="`next_cursor` of the page before")] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> Response:
    """Problems in the set's order, without their hidden tests and answers."""
    require_reader(caller, None)
    return reply(await parts.problem_sets.sample(ref, Filter(split, difficulty, tag), cursor, limit))


@router.delete("/{ref}", summary="Delete a problem set", operation_id="delete_problem_set", status_code=204)
async def delete(ref: Ref, parts: Parts, caller: Caller) -> Response:
    """All its versions, or the one that is named; 409 while a live run plays one of them."""
    require_operator(caller)
    await parts.problem_sets.delete(ref)
    return Response(status_code=204)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise BadRequest("the upload ended before its time", code="upload_aborted") from error


async def _lines(
    problem_sets: ProblemSetService, staged: Staged, options: ProblemSetUpload, request_id: str
) -> AsyncGenerator[bytes]:
    events: asyncio.Queue[UploadEvent] = asyncio.Queue()

    def tell(phase: str, done: int, total: int) -> None:
        events.put_nowait(UploadEvent(type="progress", phase=phase, done=done, total=total))  # pyright: ignore[reportArgumentType]

    async def work() -> None:
        try:
            events.put_nowait(UploadEvent(type="done", result=await problem_sets.keep(staged, options, tell)))
        except SkyscaleError as error:
            events.put_nowait(UploadEvent(type="error", error=details(error, request_id)))
        except Exception:
            events.put_nowait(UploadEvent(type="error", error=details(SkyscaleError(), request_id)))
            raise

    task = asyncio.create_task(work())
    try:
        is_over = False
        while not is_over:
            event = await events.get()
            is_over = event.type != "progress"
            yield event.model_dump_json(exclude_none=True).encode() + b"\n"
        await task
    finally:
        task.cancel()
        await asyncio.wait({task})
