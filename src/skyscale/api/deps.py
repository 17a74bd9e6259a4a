"""What a route may ask for: the services, who is calling, a body read fast, a reply written fast.

    router = APIRouter(tags=["buffer"])

    @router.post("/api/rl/buffer/push", summary=..., response_model=PushReply, openapi_extra=body_of(GroupPush))
    async def push(request: Request, parts: Parts, caller: Caller) -> Response:
        body = await read_body(request, GroupPush)
        require_role(caller, body.run_id, {JobRole.WORKER})
        return reply(await parts.buffer.push(body))

Returning a `Response` skips FastAPI's second validation; `response_model` is still in the OpenAPI text.
"""

from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Request, Response
from pydantic import BaseModel, TypeAdapter, ValidationError

from skyscale.api.errors import invalid
from skyscale.api.services import Services
from skyscale.auth.principal import Principal
from skyscale.errors import BadRequest

T = TypeVar("T", bound=BaseModel)


async def services_of(request: Request) -> Services:
    """The app's parts."""
    return request.app.state.services


async def principal_of(request: Request) -> Principal:
    """Who calls, as `api.guard` has settled it."""
    return request.scope["principal"]


Parts = Annotated[Services, Depends(services_of)]
Caller = Annotated[Principal, Depends(principal_of)]
RunId = Annotated[str, Path(max_length=60, pattern=r"^[A-Za-z0-9_.-]+$", description="The run's id, `rl-...`")]


async def read_body(request: Request, model: type[T] | TypeAdapter[T]) -> T:
    """The JSON body as this model; an empty body counts as `{}`. Errors become 400 or 422 as everywhere."""
    media = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        # Also keeps web pages of other origins out: they cannot send JSON without asking first.
        raise BadRequest(f"the body must be application/json, not {media!r}", code="unsupported_media_type")
    raw = await request.body() or b"{}"
    try:
        if isinstance(model, TypeAdapter):
            return model.validate_json(raw)
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise invalid([dict(item) for item in error.errors()]) from error


def reply(model: BaseModel, status: int = 200) -> Response:
    """The reply as JSON, serialised once."""
    return Response(model.__pydantic_serializer__.to_json(model), status, media_type="application/json")


def body_of(*models: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body with `read_body`: one model, or any of several."""
    schemas: list[dict[str, Any]] = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
