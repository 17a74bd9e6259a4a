"""Executions over HTTP: what came of calls, and the two calls that an execution's own job makes."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from skyscale.api.deps import Caller, Parts, body_of, read_body, reply
from skyscale.api.errors import RESPONSES
from skyscale.auth.principal import Principal, require_job
from skyscale.errors import Forbidden
from skyscale.functions.calls.dispatched import job_of
from skyscale.wire.functions import ExecutionLogs, ExecutionPage, ExecutionResult, ExecutionView, ExecutionWork

router = APIRouter(prefix="/api/executions", tags=["functions"], responses=RESPONSES)
Id = Annotated[str, Path(max_length=80, pattern=r"^[A-Za-z0-9_-]+$", description="The execution's id, `fx-...`")]
Function = Annotated[str | None, Query(max_length=80, description="Only calls of this function")]
Cursor = Annotated[str | None, Query(max_length=40)]
Limit = Annotated[int, Query(ge=1, le=200)]


@router.get("", summary="List executions, newest first", operation_id="list_executions", response_model=ExecutionPage)
async def list_executions(
    parts: Parts, caller: Caller, function: Function = None, cursor: Cursor = None, limit: Limit = 50
) -> Response:
    """Of all functions or of one; kept for a week."""
    _refuse_jobs(caller)
    return reply(await parts.functions.calls.page(function=function, cursor=cursor, limit=limit))


@router.get(
    "/function/{name}",
    summary="List executions of a function",
    operation_id="list_executions_of_function",
    response_model=ExecutionPage,
)
async def list_of_function(
    name: Id, parts: Parts, caller: Caller, cursor: Cursor = None, limit: Limit = 50
) -> Response:
    """As the list, with `function`; 404 for one that is not deployed."""
    _refuse_jobs(caller)
    await parts.functions.registry.get(name)
    return await list_executions(parts, caller, name, cursor, limit)


@router.get("/{execution_id}", summary="Show an execution", operation_id="get_execution", response_model=ExecutionView)
async def show(execution_id: Id, parts: Parts, caller: Caller) -> Response:
    """With its output once it has completed."""
    _refuse_jobs(caller)
    return reply(await parts.functions.calls.get(execution_id))


@router.get(
    "/{execution_id}/logs",
    summary="Show what an execution printed",
    operation_id="get_execution_logs",
    response_model=ExecutionLogs,
)
async def logs(execution_id: Id, parts: Parts, caller: Caller) -> Response:
    """Complete when it has ended."""
    _refuse_jobs(caller)
    return reply(await parts.functions.calls.logs(execution_id))


@router.get(
    "/{execution_id}/work",
    summary="Fetch what an execution's job is to do",
    operation_id="get_execution_work",
    response_model=ExecutionWork,
)
async def work(execution_id: Id, parts: Parts, caller: Caller) -> Response:
    """For the execution's own job. 410 when nobody wants it any more."""
    require_job(caller, job_of(execution_id))
    return reply(await parts.functions.calls.work(execution_id))


@router.post(
    "/{execution_id}/result",
    summary="Say what came of an execution",
    operation_id="post_execution_result",
    status_code=204,
    openapi_extra=body_of(ExecutionResult),
)
async def result(execution_id: Id, request: Request, parts: Parts, caller: Caller) -> Response:
    """For the execution's own job, and for nobody else. 410 when nobody waits for it any more."""
    require_job(caller, job_of(execution_id))
    body = await read_body(request, ExecutionResult)
    if caller.kind != "job":
        raise Forbidden("only the execution's own job says what came of it")
    parts.functions.calls.told(execution_id, body)
    return Response(status_code=204)


def _refuse_jobs(caller: Principal) -> None:
    if caller.kind == "job":
        raise Forbidden("a job's token does not open this")
