"""The experience buffer over HTTP."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from skyscale.api.deps import Caller, Parts, body_of, read_body, reply
from skyscale.api.errors import RESPONSES
from skyscale.auth.principal import require_reader, require_role
from skyscale.buffer.parsing import parse_push
from skyscale.wire.batches import (
    BufferStats,
    GroupBatchPush,
    GroupPush,
    LeaseRequest,
    PushReply,
    SampleReply,
    SampleRequest,
    TrajectoryPush,
)
from skyscale.wire.jobs import JobRole

router = APIRouter(prefix="/api/rl/buffer", tags=["buffer"], responses=RESPONSES)
TRAINER = {JobRole.TRAINER}


@router.post(
    "/push",
    summary="Store trajectories",
    description="One trajectory, one group, or several groups. On disk when the reply is sent; repeating it is safe.",
    operation_id="push",
    status_code=202,
    response_model=PushReply,
    openapi_extra=body_of(TrajectoryPush, GroupPush, GroupBatchPush),
)
async def push(request: Request, parts: Parts, caller: Caller) -> Response:
    """The hot path: the body is parsed once, and many calls share one transaction."""
    parsed = parse_push(await request.body())
    run_ids = parsed.run_ids()
    for run_id in run_ids:
        require_role(caller, run_id, {JobRole.WORKER})
    stored = await parts.buffer.store(parsed)
    if len(run_ids) == 1:  # a batch for several runs is possible and rare; its parts are not told apart here
        parts.metrics.rl_trajectories_pushed.labels(*run_ids).inc(stored.accepted)
    return reply(stored, 202)


@router.post(
    "/sample",
    summary="Take a batch",
    description="Without a lease: the oldest single trajectories, consumed at once. With `num_groups` and `lease_s`: "
    "exactly so many groups, or none; they return unless the lease is acked, extended or published in time.",
    operation_id="sample",
    response_model=SampleReply,
    openapi_extra=body_of(SampleRequest),
)
async def sample(request: Request, parts: Parts, caller: Caller) -> Response:
    """Stored JSON is passed on as it was stored."""
    body = await read_body(request, SampleRequest)
    require_role(caller, body.run_id, TRAINER)
    return Response(await parts.buffer.sample(body), media_type="application/json")


@router.post(
    "/ack",
    summary="Consume a lease",
    description="The groups are consumed for good; their slots are freed when the next version is published.",
    operation_id="ack_lease",
    status_code=204,
    openapi_extra=body_of(LeaseRequest),
)
async def ack(request: Request, parts: Parts, caller: Caller) -> Response:
    """Repeating it changes nothing."""
    return await _lease_call(request, caller, parts.buffer.ack)


@router.post(
    "/release",
    summary="Give a lease back",
    description="The groups wait again at once.",
    operation_id="release_lease",
    status_code=204,
    openapi_extra=body_of(LeaseRequest),
)
async def release(request: Request, parts: Parts, caller: Caller) -> Response:
    """Repeating it changes nothing."""
    return await _lease_call(request, caller, parts.buffer.release)


@router.post(
    "/extend",
    summary="Keep a lease longer",
    description="The lease ends `lease_s` from now.",
    operation_id="extend_lease",
    status_code=204,
    openapi_extra=body_of(LeaseRequest),
)
async def extend(request: Request, parts: Parts, caller: Caller) -> Response:
    """Also revives a lease that expired, unless one of its groups has gone to another."""
    return await _lease_call(request, caller, parts.buffer.extend)


@router.get(
    "/stats",
    summary="Count trajectories by state",
    operation_id="buffer_stats",
    response_model=BufferStats,
)
async def stats(parts: Parts, caller: Caller, run_id: Annotated[str, Query(min_length=1, max_length=80)]) -> Response:
    """One scan of the run's groups."""
    require_reader(caller, run_id)
    return reply(await parts.buffer.stats(run_id))


async def _lease_call(request: Request, caller: Caller, call: Callable[[LeaseRequest], Awaitable[None]]) -> Response:
    body = await read_body(request, LeaseRequest)
    require_role(caller, body.run_id, TRAINER)
    await call(body)
    return Response(status_code=204)
