"""Endpoints over HTTP: make, look, delete. They are called at `/proxy/{slug}{path}`."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from skyscale.api.deps import Caller, Parts, body_of, read_body, reply
from skyscale.api.errors import RESPONSES
from skyscale.auth.principal import Principal, require_operator
from skyscale.errors import Forbidden
from skyscale.wire.functions import DeploymentCreate, DeploymentPage, DeploymentView

router = APIRouter(prefix="/api/deployments", tags=["functions"], responses=RESPONSES)
Id = Annotated[str, Path(max_length=80, pattern=r"^[A-Za-z0-9_-]+$", description="The endpoint's id, `dp-...`")]


@router.post(
    "",
    summary="Make an endpoint",
    description="A function with an address of its own, `slugified(app_name)--slugified(endpoint_name)`. The same "
    "again is the same endpoint; 409 when something else has the slug, unless `replace` is true.",
    operation_id="create_deployment",
    status_code=201,
    response_model=DeploymentView,
    openapi_extra=body_of(DeploymentCreate),
)
async def create(request: Request, parts: Parts, caller: Caller) -> Response:
    """Ready when the call returns."""
    require_operator(caller)
    return reply(await parts.functions.endpoints.create(await read_body(request, DeploymentCreate)), 201)


@router.get("", summary="List endpoints, newest first", operation_id="list_deployments", response_model=DeploymentPage)
async def list_deployments(
    parts: Parts,
    caller: Caller,
    cursor: Annotated[str | None, Query(max_length=40)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """A page of endpoints with their addresses."""
    _refuse_jobs(caller)
    return reply(await parts.functions.endpoints.page(cursor=cursor, limit=limit))


@router.get(
    "/{deployment_id}", summary="Show an endpoint", operation_id="get_deployment", response_model=DeploymentView
)
async def show(deployment_id: Id, parts: Parts, caller: Caller) -> Response:
    """With its address."""
    _refuse_jobs(caller)
    return reply(await parts.functions.endpoints.get(deployment_id))


@router.delete("/{deployment_id}", summary="Delete an endpoint", operation_id="delete_deployment", status_code=204)
async def delete(deployment_id: Id, parts: Parts, caller: Caller) -> Response:
    """With its function; the slug is free again."""
    require_operator(caller)
    await parts.functions.endpoints.delete(deployment_id)
    return Response(status_code=204)


def _refuse_jobs(caller: Principal) -> None:
    if caller.kind == "job":
        raise Forbidden("a job's token does not open this")
