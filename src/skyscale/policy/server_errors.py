"""Errors in OpenAI's shape, with our `code` and `hint`, so that both OpenAI clients and ours can read them."""

from typing import Any

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from skyscale.errors import SkyscaleError

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


async def error_reply(_: Request, error: SkyscaleError) -> Response:
    """The reply to a request that failed with one of our exceptions."""
    # OpenAI clients know 400 for a value that is refused; 422 is ours alone.
    status = 400 if error.status == 422 else error.status
    return _reply(status, error.detail, error.code, error.hint, None)


async def invalid_body(_: Request, error: ValidationError) -> Response:
    """The reply to a body with a missing, unknown or refused field: the first one is named."""
    first = error.errors(include_url=False, include_input=False)[0]
    # Members of a union repeat the field's name with the type that was tried; the field is the first part.
    param = str(first["loc"][0]) if first["loc"] else None
    text = {"extra_forbidden": "is not a field of this call", "missing": "is required"}.get(
        first["type"], first["msg"].removeprefix("Value error, ")
    )
    return _reply(400, f"{param}: {text}" if param else text, "invalid_value", "Correct the named field.", param)


def _reply(status: int, message: str, code: str, hint: str, param: str | None) -> Response:
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    error: dict[str, Any] = {"message": message, "type": kind, "param": param, "code": code, "hint": hint}
    body = {"status": status, "code": code, "detail": message, "hint": hint, "error": error}
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return Response(orjson.dumps(body), status, media_type="application/json", headers=headers)
