"""Events of a run over HTTP: a page, a live stream (server-sent events), and new ones."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from skyscale.api.deps import Caller, Parts, RunId, body_of, read_body, reply
from skyscale.api.errors import RESPONSES
from skyscale.api.services import Services
from skyscale.auth.principal import require_reader, require_role
from skyscale.errors import BadRequest
from skyscale.wire.jobs import JobRole
from skyscale.wire.runs import EventCreate, EventPage

router = APIRouter(prefix="/api/rl/runs", tags=["events"], responses=RESPONSES)
KEEP_ALIVE_S = 15.0
"""A comment is sent after so much silence, so that proxies and clients know that the line is alive."""
MAX_SEQ = 2**53


@router.get(
    "/{run_id}/events",
    summary="Read or follow a run's events",
    description="A page of events after `after`, oldest first. With `Accept: text/event-stream` or `stream=1` the "
    "reply is a stream that goes on with each new event; its ids are `seq`, so `Last-Event-ID` resumes it.",
    operation_id="list_events",
    response_model=EventPage,
)
async def list_events(
    run_id: RunId,
    request: Request,
    parts: Parts,
    caller: Caller,
    after: Annotated[int, Query(ge=0, le=MAX_SEQ)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    stream: bool = False,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> Response:
    """A page, or a stream."""
    require_reader(caller, run_id)
    await parts.views.require(run_id)
    if not stream and "text/event-stream" not in request.headers.get("accept", ""):
        return reply(EventPage(run_id=run_id, events=await parts.events.list(run_id, after, limit)))
    if last_event_id:
        if not last_event_id.isdecimal() or int(last_event_id) > MAX_SEQ:
            raise BadRequest("Last-Event-ID is not the id of an event")
        after = max(after, int(last_event_id))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(parts, run_id, after), media_type="text/event-stream", headers=headers)


@router.post(
    "/{run_id}/events",
    summary="Record an event",
    description="Processes of a run say here what they did; it is kept and shown to followers at once.",
    operation_id="create_event",
    status_code=202,
    openapi_extra=body_of(EventCreate),
)
async def create_event(run_id: RunId, request: Request, parts: Parts, caller: Caller) -> Response:
    """Keep it."""
    require_role(caller, run_id, set(JobRole))
    await parts.runs.add_event(run_id, await read_body(request, EventCreate))
    return Response(status_code=202)


async def _stream(parts: Services, run_id: str, after: int) -> AsyncGenerator[bytes]:
    """The events as server-sent events; ends when the control plane does."""
    yield b"retry: 1000\n\n"
    events = parts.events.follow(run_id, after)
    closing = asyncio.ensure_future(parts.closing.wait())
    upcoming = asyncio.ensure_future(anext(events))
    try:
        while not closing.done():
            await asyncio.wait({upcoming, closing}, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
            if not upcoming.done():
                yield b": still here\n\n"
                continue
            event = upcoming.result()
            yield f"id: {event.seq}\nevent: {_one_line(event.kind)}\ndata: {event.model_dump_json()}\n\n".encode()
            upcoming = asyncio.ensure_future(anext(events))
    finally:
        closing.cancel()
        upcoming.cancel()
        await asyncio.gather(closing, upcoming, return_exceptions=True)
        await events.aclose()


def _one_line(text: str) -> str:
    return " ".join(text.split())
