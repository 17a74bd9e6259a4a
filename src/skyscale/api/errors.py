"""Every reply of 400 or more has one shape, `application/problem+json` with `wire.errors.ProblemDetails`.

A `SkyscaleError` knows its status; what the framework refuses is turned into one. Anything else is our defect: it is
logged with the request's id and answered 500 without details.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from skyscale.errors import BadRequest, Invalid, NotFound, SkyscaleError, TooMany
from skyscale.wire.errors import ProblemDetails

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
MAX_NAMED_FIELDS = 8
RESPONSES: dict[int | str, dict[str, object]] = {
    code: {"model": ProblemDetails, "description": text}
    for code, text in {
        401: "No or wrong credentials",
        403: "Right credentials for something else",
        404: "There is no such thing",
        409: "The current state does not allow this",
        413: "The body is too large",
        422: "A value is refused",
    }.items()
}
"""Error replies of an operation, for its `responses=`."""


def details(error: SkyscaleError, request_id: str) -> ProblemDetails:
    """The error in the one shape."""
    return ProblemDetails(
        status=error.status, code=error.code, detail=error.detail, hint=error.hint, request_id=request_id
    )


def problem(error: SkyscaleError, request_id: str) -> Response:
    """The reply to a request that ended in this error."""
    body = details(error, request_id)
    headers: dict[str, str] = {}
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(body.model_dump_json(), error.status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of this app in the one shape."""
    app.add_exception_handler(SkyscaleError, _known)
    app.add_exception_handler(RequestValidationError, _refused)
    app.add_exception_handler(HTTPException, _framework)


def invalid(errors: Sequence[Mapping[str, object]]) -> SkyscaleError:
    """pydantic's errors as one of ours: 400 when the body is no JSON at all, else 422 naming the fields."""
    if any(error["type"] in {"json_invalid", "json_type"} for error in errors):
        return BadRequest(f"the body is not JSON: {errors[0]['msg']}", code="invalid_json")
    named = "; ".join(f"{_path(error['loc'])}: {error['msg']}" for error in errors[:MAX_NAMED_FIELDS])
    more = len(errors) - MAX_NAMED_FIELDS
    return Invalid(f"{named}; and {more} more" if more > 0 else named)


def _path(location: object) -> str:
    parts = [str(part) for part in cast("tuple[object, ...]", location)]
    return ".".join(part for part in parts if part not in {"body", "query", "path"}) or "body"


def _request_id(request: Request) -> str:
    return request.scope.get("request_id", "")


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, SkyscaleError)
    return problem(error, _request_id(request))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem(invalid([dict(item) for item in error.errors()]), _request_id(request))


async def _framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    # FastAPI wraps whatever the body's reader raises; ours (413) is the cause.
    if isinstance(error.__cause__, SkyscaleError):
        return problem(error.__cause__, _request_id(request))
    known = {404: NotFound("there is no such path"), 405: _MethodNotAllowed()}.get(error.status_code)
    reply = problem(known or BadRequest(str(error.detail)), _request_id(request))
    if error.headers:
        reply.headers.update(error.headers)
    return reply


class _MethodNotAllowed(SkyscaleError):
    """This path does not know this method."""

    status, code, hint = 405, "method_not_allowed", "The header `Allow` lists the methods."
