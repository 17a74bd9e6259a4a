"""A body read fast, a reply written fast: for every server of ours."""

from typing import TypeVar

from fastapi import Request, Response
from pydantic import BaseModel, TypeAdapter, ValidationError

from skyscale.api.errors import invalid
from skyscale.errors import BadRequest

T = TypeVar("T", bound=BaseModel)


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
