"""Sandbox hosts over HTTP: a host reports itself and leaves, an operator looks at all of them."""

import hmac
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from skyscale.api.deps import Caller, Parts, body_of, principal_of, read_body, reply
from skyscale.api.errors import RESPONSES
from skyscale.auth.principal import require_operator
from skyscale.errors import Forbidden, Unauthorized
from skyscale.hosts.rules import REPORT_S
from skyscale.wire.hosts import HOST_ID_PATTERN, HostList, HostOrders, HostReport

router = APIRouter(prefix="/api/sandboxes/hosts", tags=["sandboxes"], responses=RESPONSES)
HostId = Annotated[str, Path(max_length=80, pattern=HOST_ID_PATTERN, description="The host's id, `sbh-...`")]


@router.get("", summary="List sandbox hosts", operation_id="list_sandbox_hosts", response_model=HostList)
async def list_hosts(parts: Parts, caller: Caller) -> Response:
    """Those in use first; gone and lost ones for two days, with the reason."""
    require_operator(caller)
    return reply(await parts.hosts.listed())


@router.put(
    "/{host_id}",
    summary="A host reports itself",
    description="The first report registers the host; each one says how it fares and is answered with the sandboxes "
    "that it may end. 409 for a host that was given up: it starts again under a new id.",
    operation_id="report_sandbox_host",
    response_model=HostOrders,
    openapi_extra=body_of(HostReport),
)
async def report(host_id: HostId, request: Request, parts: Parts) -> Response:
    """Needs SKYSCALE_HOST_TOKEN where one is set."""
    await _require_host(request, parts)
    body = await read_body(request, HostReport)
    await parts.hosts.report(host_id, body)
    drop = await parts.boxes.unwanted(host_id, body.sandboxes)
    return reply(HostOrders(drop=drop, report_every_s=REPORT_S))


@router.delete("/{host_id}", summary="A host leaves", operation_id="leave_sandbox_host", status_code=204)
async def leave(host_id: HostId, request: Request, parts: Parts) -> Response:
    """What it still holds is failed; again changes nothing."""
    await _require_host(request, parts)
    await parts.hosts.leave(host_id)
    return Response(status_code=204)


async def _require_host(request: Request, parts: Parts) -> None:
    """Whoever reports an address makes us call it, with the token: only who has the token may."""
    secret = parts.settings.host_token
    if secret is None:
        require_operator(await principal_of(request))
        return
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized("a sandbox host sends SKYSCALE_HOST_TOKEN as its bearer token")
    # Bytes: comparing text raises for characters beyond ASCII.
    if not hmac.compare_digest(secret.get_secret_value().encode(), token.strip().encode("utf-8", "surrogateescape")):
        raise Forbidden("this is not the SKYSCALE_HOST_TOKEN of this control plane", code="wrong_host_token")
