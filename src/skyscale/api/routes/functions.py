"""Functions over HTTP: deploy, look, call, delete. For operators: job tokens open nothing."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from skyscale.api.deps import Caller, Parts, body_of, read_body, reply
from skyscale.api.errors import RESPONSES
from skyscale.auth.principal import Principal, require_operator
from skyscale.errors import Forbidden
from skyscale.wire.functions import (
    ExecutionStatus,
    ExecutionView,
    FunctionDeploy,
    FunctionPage,
    FunctionVersions,
    FunctionView,
    Invoke,
)

router = APIRouter(prefix="/api/functions", tags=["functions"], responses=RESPONSES)
Name = Annotated[str, Path(max_length=80, pattern=r"^[A-Za-z0-9_-]+$", description="The function's name")]
_OPEN = (ExecutionStatus.QUEUED, ExecutionStatus.RUNNING)


@router.get("", summary="List functions, by name", operation_id="list_functions", response_model=FunctionPage)
async def list_functions(
    parts: Parts,
    caller: Caller,
    cursor: Annotated[str | None, Query(max_length=80)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """A page of functions with their current versions."""
    _refuse_jobs(caller)
    return reply(await parts.functions.registry.page(cursor=cursor, limit=limit))


@router.post(
    "",
    summary="Deploy a function",
    description="Makes this the function's current version. The same again changes nothing: a version is the hash of "
    "everything that decides what a call does. 422 says what is wrong with code, entry or requirements.",
    operation_id="deploy_function",
    response_model=FunctionView,
    openapi_extra=body_of(FunctionDeploy),
)
async def deploy(request: Request, parts: Parts, caller: Caller) -> Response:
    """Checked and with its requirements at hand when the call returns."""
    require_operator(caller)
    return reply(await parts.functions.registry.deploy(await read_body(request, FunctionDeploy)))


@router.get(
    "/name/{name}",
    summary="Show a function (as the next)",
    operation_id="get_function_by_name",
    response_model=FunctionView,
)
async def show_by_name(name: Name, parts: Parts, caller: Caller) -> Response:
    """A function's id is its name."""
    return await show(name, parts, caller)


@router.get("/{name}", summary="Show a function", operation_id="get_function", response_model=FunctionView)
async def show(name: Name, parts: Parts, caller: Caller) -> Response:
    """With the version that is called when none is named."""
    _refuse_jobs(caller)
    return reply(await parts.functions.registry.get(name))


@router.put(
    "/{name}",
    summary="Deploy a function under this name",
    operation_id="put_function",
    response_model=FunctionView,
    openapi_extra=body_of(FunctionDeploy),
)
async def put(name: Name, request: Request, parts: Parts, caller: Caller) -> Response:
    """As `POST /api/functions`, whatever name the body says."""
    require_operator(caller)
    body = await read_body(request, FunctionDeploy)
    return reply(await parts.functions.registry.deploy(body.model_copy(update={"name": name})))


@router.get(
    "/{name}/versions",
    summary="List a function's versions, newest first",
    operation_id="list_function_versions",
    response_model=FunctionVersions,
)
async def versions(name: Name, parts: Parts, caller: Caller) -> Response:
    """At most 200; each can be called."""
    _refuse_jobs(caller)
    return reply(await parts.functions.registry.versions(name))


@router.delete("/{name}", summary="Delete a function", operation_id="delete_function", status_code=204)
async def delete(name: Name, parts: Parts, caller: Caller) -> Response:
    """With its versions; what came of its calls stays for a week. 409 while an endpoint calls it."""
    require_operator(caller)
    await parts.functions.endpoints.delete_function(name)
    return Response(status_code=204)


@router.post(
    "/{name}/invoke",
    summary="Call a function",
    description="`sync` waits for the end and answers 200 with the execution, however it ended; otherwise, and when "
    "the end takes longer than fifteen minutes, the answer is 202 and `GET /api/executions/{id}` tells more.",
    operation_id="invoke_function",
    response_model=ExecutionView,
    responses={202: {"model": ExecutionView, "description": "It has not ended yet"}},
    openapi_extra=body_of(Invoke),
)
async def invoke(name: Name, request: Request, parts: Parts, caller: Caller) -> Response:
    """What the function did is in the execution: its failure is no error of this call."""
    require_operator(caller)
    view = await parts.functions.calls.invoke(name, await read_body(request, Invoke))
    return reply(view, 202 if view.status in _OPEN else 200)


@router.post(
    "/name/{name}/invoke",
    summary="Call a function (as the last)",
    operation_id="invoke_function_by_name",
    response_model=ExecutionView,
    responses={202: {"model": ExecutionView, "description": "It has not ended yet"}},
    openapi_extra=body_of(Invoke),
)
async def invoke_by_name(name: Name, request: Request, parts: Parts, caller: Caller) -> Response:
    """A function's id is its name."""
    return await invoke(name, request, parts, caller)


def _refuse_jobs(caller: Principal) -> None:
    if caller.kind == "job":
        raise Forbidden("a job's token does not open this")
