"""Container services over HTTP: deploy, look, call, stop, delete. For operators: job tokens open nothing."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from skyscale.api.deps import Caller, Parts, body_of, read_body, reply
from skyscale.api.errors import RESPONSES
from skyscale.auth.principal import require_operator
from skyscale.wire.services import (
    ServiceCall,
    ServiceCalled,
    ServiceDeploy,
    ServiceList,
    ServiceLogs,
    ServiceTemplates,
    ServiceView,
)

router = APIRouter(prefix="/api/services", tags=["services"], responses=RESPONSES)
Name = Annotated[str, Path(max_length=60, pattern=r"^[a-z0-9-]+$", description="The service's name")]


@router.get("/templates", summary="List templates", operation_id="service_templates", response_model=ServiceTemplates)
async def templates(parts: Parts, caller: Caller) -> Response:
    """What comes along, and whether it could be deployed."""
    require_operator(caller)
    return reply(parts.containers.templates())


@router.post(
    "",
    summary="Deploy a service",
    description="A template, or an image of your own, at Railway. It is `deploying` in the reply. It costs money until "
    "it is stopped or deleted; a deploy that fails on its way leaves nothing. 429 when the quota is reached.",
    operation_id="deploy_service",
    status_code=201,
    response_model=ServiceView,
    openapi_extra=body_of(ServiceDeploy),
)
async def deploy(request: Request, parts: Parts, caller: Caller) -> Response:
    """Never started again by itself."""
    require_operator(caller)
    return reply(await parts.containers.deploy(await read_body(request, ServiceDeploy)), 201)


@router.get("", summary="List services", operation_id="list_services", response_model=ServiceList)
async def list_services(parts: Parts, caller: Caller) -> Response:
    """Those of this control plane, by name; at most five seconds old."""
    require_operator(caller)
    return reply(ServiceList(services=await parts.containers.all()))


@router.get("/{name}", summary="Show a service", operation_id="get_service", response_model=ServiceView)
async def show(name: Name, parts: Parts, caller: Caller) -> Response:
    """At most five seconds old."""
    require_operator(caller)
    return reply(await parts.containers.get(name))


@router.get("/{name}/logs", summary="Read a service's log", operation_id="service_logs", response_model=ServiceLogs)
async def logs(name: Name, parts: Parts, caller: Caller, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """The newest lines, oldest first."""
    require_operator(caller)
    return reply(await parts.containers.logs(name, limit))


@router.post(
    "/{name}/call",
    summary="Call a service",
    description="One HTTP request to the service's own address, for trying it out. Redirects are not followed. "
    "409 while it cannot answer, 410 when it did not.",
    operation_id="call_service",
    response_model=ServiceCalled,
    openapi_extra=body_of(ServiceCall),
)
async def call(name: Name, request: Request, parts: Parts, caller: Caller) -> Response:
    """Whatever it answers is a reply of 200."""
    require_operator(caller)
    return reply(await parts.containers.call(name, await read_body(request, ServiceCall)))


@router.post("/{name}/stop", summary="Stop a service", operation_id="stop_service", status_code=204)
async def stop(name: Name, parts: Parts, caller: Caller) -> Response:
    """It stays in the list; again changes nothing."""
    require_operator(caller)
    await parts.containers.stop(name)
    return Response(status_code=204)


@router.delete("/{name}", summary="Delete a service", operation_id="delete_service", status_code=204)
async def delete(name: Name, parts: Parts, caller: Caller) -> Response:
    """With everything that it has; again changes nothing."""
    require_operator(caller)
    await parts.containers.delete(name)
    return Response(status_code=204)
