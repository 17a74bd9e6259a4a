"""What a route may ask for: the services, who is calling, a body read fast, a reply written fast.

    router = APIRouter(tags=["buffer"])

    @router.post("/api/rl/buffer/push", summary=..., response_model=PushReply, openapi_extra=body_of(GroupPush))
    async def push(request: Request, parts: Parts, caller: Caller) -> Response:
        body = await read_body(request, GroupPush)
        require_role(caller, body.run_id, {JobRole.WORKER})
        return reply(await parts.buffer.push(body))

Returning a `Response` skips FastAPI's second validation; `response_model` is still in the OpenAPI text.
"""

import hmac
import ipaddress
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Path, Request
from pydantic import BaseModel

from skyscale.api.bodies import read_body, reply
from skyscale.api.services import Services
from skyscale.auth.principal import ANONYMOUS, OPERATOR, Principal
from skyscale.errors import Unauthorized
from skyscale.settings import LOOPBACK

__all__ = ["Caller", "Parts", "RunId", "body_of", "principal_of", "read_body", "reply"]


async def services_of(request: Request) -> Services:
    """The app's parts."""
    return request.app.state.services


async def principal_of(request: Request) -> Principal:
    """Who calls. Raises Unauthorized for a token that is not one of ours, even where none is needed."""
    services: Services = request.app.state.services
    header = request.headers.get("authorization")
    if header is None:
        return _without_token(request, services)
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized("only `Authorization: Bearer <token>` is understood")
    secret = services.settings.dashboard_token
    if secret is not None and hmac.compare_digest(secret.get_secret_value().encode(), token.strip().encode()):
        return OPERATOR
    job = services.tokens.verify(token.strip())
    if job is None:
        raise Unauthorized("this token is not valid here", code="invalid_token")
    return job


Parts = Annotated[Services, Depends(services_of)]
Caller = Annotated[Principal, Depends(principal_of)]
RunId = Annotated[str, Path(max_length=60, pattern=r"^[A-Za-z0-9_.-]+$", description="The run's id, `rl-...`")]


def body_of(*models: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body with `read_body`: one model, or any of several."""
    schemas: list[dict[str, Any]] = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _without_token(request: Request, services: Services) -> Principal:
    """An operator when no token is configured and the call comes from this machine, by its own name."""
    settings = services.settings
    if settings.dashboard_token is not None:
        return ANONYMOUS
    if settings.insecure:
        return OPERATOR
    origin = request.headers.get("origin")
    names = [request.headers.get("host", ""), urlsplit(origin).netloc if origin else ""]
    # A foreign name in Host is DNS rebinding, a foreign Origin another site's page: neither is our user.
    is_local = all(_is_loopback(urlsplit(f"//{name}").hostname or "localhost") for name in names if name)
    return OPERATOR if is_local and _is_loopback(request.client.host if request.client else "") else ANONYMOUS


def _is_loopback(host: str) -> bool:
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
