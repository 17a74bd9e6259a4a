"""Runs over HTTP: start, list, show, stop; register and reload the policy server; publish versions."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from skyscale.api.deps import Caller, Parts, RunId, body_of, read_body, reply
from skyscale.api.errors import RESPONSES
from skyscale.auth.principal import require_operator, require_reader, require_role
from skyscale.errors import Conflict, Unavailable
from skyscale.wire.jobs import JobRole
from skyscale.wire.policies import (
    EngineReloadReply,
    PolicyPage,
    PolicyPublish,
    PolicyRegister,
    PolicyReload,
    PolicyVersion,
)
from skyscale.wire.runs import RunCreate, RunCreated, RunPage, RunStatus, RunView

router = APIRouter(prefix="/api/rl/runs", tags=["runs"], responses=RESPONSES)
MAX_CURSOR_CHARS = 200


@router.post(
    "",
    summary="Start a run",
    description="`{}` is enough. A policy server is started; once it is healthy, workers and the trainer follow. "
    "Repeating the request with the same `run_id` or `Idempotency-Key` returns the same run; another body under it "
    "is refused. With `dry_run` nothing is started: the reply (200) shows the resolved specification.",
    operation_id="create_run",
    status_code=202,
    response_model=RunCreated,
    openapi_extra=body_of(RunCreate),
)
async def create_run(
    request: Request,
    parts: Parts,
    caller: Caller,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> Response:
    """Accept a run."""
    require_operator(caller)
    body = await read_body(request, RunCreate)
    return reply(await parts.runs.create(body, idempotency_key), 200 if body.dry_run else 202)


@router.get(
    "",
    summary="List runs",
    description="Newest first, in pages; pass `next_cursor` as `cursor` for the next one.",
    operation_id="list_runs",
    response_model=RunPage,
)
async def list_runs(
    parts: Parts,
    caller: Caller,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR_CHARS)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    status: RunStatus | None = None,
) -> Response:
    """A page of runs."""
    require_reader(caller, None)
    return reply(await parts.views.page(cursor, limit, status))


@router.get(
    "/{run_id}",
    summary="Show a run",
    description="Status, stage, every process, the buffer, the newest 200 metrics reports and all evaluations.",
    operation_id="get_run",
    response_model=RunView,
)
async def get_run(run_id: RunId, parts: Parts, caller: Caller) -> Response:
    """Everything about one run."""
    require_reader(caller, run_id)
    return reply(await parts.views.view(run_id))


@router.delete(
    "/{run_id}",
    summary="Stop a run",
    description="Every job of the run is ended; its status is `stopping` until none is alive, then `stopped`. "
    "Stopping an ended run changes nothing.",
    operation_id="stop_run",
    status_code=204,
)
async def stop_run(run_id: RunId, parts: Parts, caller: Caller) -> Response:
    """Ask for the end of a run."""
    require_operator(caller)
    await parts.runs.stop(run_id)
    return Response(status_code=204)


@router.post(
    "/{run_id}/policy-server",
    summary="Register the run's policy server",
    description="Sent by the policy job when it listens. The URL is used once its `/health` answers 200; of a local "
    "job it must be on this machine.",
    operation_id="register_policy_server",
    status_code=204,
    openapi_extra=body_of(PolicyRegister),
)
async def register_policy_server(run_id: RunId, request: Request, parts: Parts, caller: Caller) -> Response:
    """Note where the policy server is."""
    require_role(caller, run_id, {JobRole.POLICY})
    await parts.runs.register_policy(run_id, await read_body(request, PolicyRegister), caller)
    return Response(status_code=204)


@router.post(
    "/{run_id}/policy-reload",
    summary="Have a published version served",
    description="The newest by default, or the one named by `version` or `checkpoint_url`. Answers when the policy "
    "server serves it. The next published version takes over again.",
    operation_id="reload_policy",
    response_model=EngineReloadReply,
    openapi_extra=body_of(PolicyReload),
)
async def reload_policy(run_id: RunId, request: Request, parts: Parts, caller: Caller) -> Response:
    """Swap the weights of the running policy server."""
    require_role(caller, run_id, {JobRole.TRAINER})
    body = await read_body(request, PolicyReload)
    run = await parts.runs.pin(run_id, body.version, body.checkpoint_url)
    if run.policy_url is None or run.policy_healthy_at is None:
        raise Unavailable("the run has no healthy policy server now; it will serve this version when it has one")
    if run.evaluating is not None:
        raise Conflict(f"version {run.evaluating} is being evaluated; this version is served when that is done")
    done = await parts.swaps.swap(run_id)
    if done is None:
        serving = (await parts.views.require(run_id)).serving_version
        done = EngineReloadReply(version=serving, fetch_ms=0.0, stall_ms=0.0)
    return reply(done)


@router.get(
    "/{run_id}/policies",
    summary="List published versions",
    description="Oldest first; `after` is the last version of the page before.",
    operation_id="list_policies",
    response_model=PolicyPage,
)
async def list_policies(
    run_id: RunId,
    parts: Parts,
    caller: Caller,
    after: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """A page of versions."""
    require_reader(caller, run_id)
    return reply(await parts.views.policies(run_id, after, limit))


@router.post(
    "/{run_id}/policies",
    summary="Publish a version",
    description="Sent by the trainer when the version's folder is complete. In one step the version becomes the "
    "newest, its leases are consumed and their slots are freed. Only newest + 1 is accepted; repeating the newest "
    "with the same checksum is answered as the first time.",
    operation_id="publish_policy",
    response_model=PolicyVersion,
    openapi_extra=body_of(PolicyPublish),
)
async def publish_policy(run_id: RunId, request: Request, parts: Parts, caller: Caller) -> Response:
    """Announce new weights."""
    require_role(caller, run_id, {JobRole.TRAINER})
    return reply(await parts.runs.publish(run_id, await read_body(request, PolicyPublish)))
