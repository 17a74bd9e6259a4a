"""What a route may ask for: the services, who is calling, a body read fast, a reply written fast.

    router = APIRouter(tags=["buffer"])

    @router.post("/api/rl/buffer/push", summary=..., response_model=PushReply, openapi_extra=body_of(GroupPush))
    async def push(request: Request, parts: Parts, caller: Caller) -> Response:
        body = await read_body(request, GroupPush)
        require_role(caller, body.run_id, {JobRole.WORKER})
        return reply(await parts.buffer.push(body))

Returning a `Response` skips FastAPI's second validation; `response_model` is still in the OpenAPI text.
"""

from typing import Annotated, Any

from fastapi import Depends, Path, Request
from pydantic import BaseModel

from skyscale.api.bodies import read_body, reply
from skyscale.api.services import Services
from skyscale.auth.principal import Principal

__all__ = ["Caller", "Parts", "RunId", "body_of", "principal_of", "read_body", "reply"]


async def services_of(request: Request) -> Services:
    """The app's parts."""
    return request.app.state.services


async def principal_of(request: Request) -> Principal:
    """Who calls, as `api.guard` has settled it."""
    return request.scope["principal"]


Parts = Annotated[Services, Depends(services_of)]
Caller = Annotated[Principal, Depends(principal_of)]
RunId = Annotated[str, Path(max_length=60, pattern=r"^[A-Za-z0-9_.-]+$", description="The run's id, `rl-...`")]


def body_of(*models: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body with `read_body`: one model, or any of several."""
    schemas: list[dict[str, Any]] = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
