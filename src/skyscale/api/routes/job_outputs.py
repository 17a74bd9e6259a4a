"""What a job prints, as it prints it, and the files it leaves behind."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse

from skyscale.api.deps import Caller, Parts, reply
from skyscale.api.errors import RESPONSES
from skyscale.api.services import Services
from skyscale.auth.principal import require_job, require_reader
from skyscale.jobs import rules
from skyscale.jobs.tailing import new_part
from skyscale.wire.artifacts import NAME_PATTERN, JobArtifact, JobArtifacts
from skyscale.wire.jobs import JobDetail

router = APIRouter(prefix="/api/training/jobs", tags=["jobs"], responses=RESPONSES)
LOOK_S, KEEP_ALIVE_LOOKS = 1.0, 15
Name = Annotated[str, Path(max_length=150, pattern=NAME_PATTERN, description="A file's name, without folders")]
BYTES = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


@router.get(
    "/{job_id}/logs",
    summary="Follow what a job prints",
    description="Server-sent events: `log` with `{text}`, from the last 64 KiB on, `status` with `{status, attempt}` "
    "whenever that changes, and `end` with the job's last view. It ends with the job.",
    operation_id="follow_training_job_logs",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def follow(job_id: str, parts: Parts, caller: Caller) -> Response:
    """The log as it grows."""
    detail = await parts.jobs.detail(job_id)
    if caller.job_id != job_id:
        require_reader(caller, detail.job.run_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_followed(parts, detail), media_type="text/event-stream", headers=headers)


@router.put(
    "/{job_id}/artifacts/{name}",
    summary="Keep a file of a job",
    description='Sent by the job with its own token: `curl -T model.bin -H "Authorization: Bearer $SKYSCALE_JOB_TOKEN" '
    "$SKYSCALE_URL/api/training/jobs/$SKYSCALE_JOB_ID/artifacts/model.bin`. The same name again replaces it.",
    operation_id="put_training_job_artifact",
    status_code=201,
    response_model=JobArtifact,
    openapi_extra={"requestBody": {"required": True, **BYTES}},
)
async def put_artifact(job_id: str, name: Name, request: Request, parts: Parts, caller: Caller) -> Response:
    """Durable when this is answered."""
    require_job(caller, job_id)
    return reply(await parts.outputs.put(job_id, name, await request.body()), 201)


@router.get(
    "/{job_id}/artifacts",
    summary="Files that a job left behind",
    operation_id="list_training_job_artifacts",
    response_model=JobArtifacts,
)
async def list_artifacts(job_id: str, parts: Parts, caller: Caller) -> Response:
    """By name."""
    await _require_may_read(job_id, parts, caller)
    return reply(await parts.outputs.of_job(job_id))


@router.get(
    "/{job_id}/artifacts/{name}",
    summary="Download a file of a job",
    operation_id="get_training_job_artifact",
    response_class=Response,
    responses={200: BYTES},
)
async def get_artifact(job_id: str, name: Name, parts: Parts, caller: Caller) -> Response:
    """Its bytes."""
    await _require_may_read(job_id, parts, caller)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return Response(await parts.outputs.get(job_id, name), media_type="application/octet-stream", headers=headers)


async def _require_may_read(job_id: str, parts: Services, caller: Caller) -> None:
    if caller.job_id != job_id:
        require_reader(caller, (await parts.jobs.view(job_id)).run_id)


async def _followed(parts: Services, detail: JobDetail) -> AsyncGenerator[bytes]:
    shown, state, quiet = "", None, 0
    while True:
        view = detail.job
        if (view.status, view.attempt) != state:
            state = view.status, view.attempt
            yield _event("status", {"status": view.status.value, "attempt": view.attempt})
        fresh = new_part(shown, detail.logs)
        quiet = 0 if fresh else quiet + 1
        if fresh:
            shown = detail.logs
            yield _event("log", {"text": fresh})
        elif quiet % KEEP_ALIVE_LOOKS == 0:
            yield b": still here\n\n"
        if view.status in rules.FINAL or parts.closing.is_set():
            yield f"event: end\ndata: {view.model_dump_json()}\n\n".encode()
            return
        try:
            async with asyncio.timeout(LOOK_S):
                await parts.closing.wait()
        except TimeoutError:
            pass
        detail = await parts.jobs.detail(view.job_id)


def _event(kind: str, data: dict[str, object]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
