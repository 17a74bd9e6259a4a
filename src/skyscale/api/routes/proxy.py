"""Endpoints as the world calls them. The door lets everyone pass here: this route asks for credentials itself.

- An endpoint that is not public needs an operator's credentials that may change things, whatever the method: a call
  costs. Pages of other sites cannot make a browser call one for them.
- Whoever calls a public endpoint is told that it failed and which execution that was, not why: tracebacks are the
  owner's.
"""

from fastapi import APIRouter, Request, Response
from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic_core import to_json

from skyscale.api.deps import Caller, Parts
from skyscale.api.errors import RESPONSES, invalid, problem
from skyscale.auth import rules
from skyscale.auth.principal import Principal, require_operator
from skyscale.errors import BadRequest, Forbidden, SkyscaleError
from skyscale.wire.functions import ExecutionStatus, ExecutionView
from skyscale.wire.keys import Scope

router = APIRouter(tags=["functions"], responses=RESPONSES)
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_JSON: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)


class EndpointFailed(SkyscaleError):
    """The function behind this endpoint failed."""

    status, code, hint = 500, "function_failed", "The owner finds the execution by its id."


_STATUS = {ExecutionStatus.TIMEOUT: 504, ExecutionStatus.LOST: 503}


@router.api_route("/proxy/{slug}", methods=METHODS, include_in_schema=False)
@router.api_route("/proxy/{slug}/{path:path}", methods=METHODS, include_in_schema=False)
async def call(slug: str, request: Request, parts: Parts, caller: Caller, path: str = "") -> Response:
    """The function's output as JSON; its failure as a problem."""
    endpoint = await parts.functions.endpoints.find(slug[:100], f"/{path}", request.method)
    if not endpoint.web.is_public:
        _require_caller(caller, request)
    body = await _body(request)
    view = await parts.functions.endpoints.call(endpoint, body, dict(request.query_params))
    headers = {"X-Execution-Id": view.execution_id, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    if view.status is ExecutionStatus.COMPLETED:
        return Response(to_json(view.output), media_type="application/json", headers=headers)
    reply = problem(_failure(view, is_public=endpoint.web.is_public), request.scope.get("request_id", ""))
    reply.headers.update(headers)
    return reply


def _require_caller(caller: Principal, request: Request) -> None:
    require_operator(caller)
    rules.require_scope(caller, Scope.OPERATE)
    if request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise Forbidden("a page of another site may not call this")


async def _body(request: Request) -> JsonValue:
    raw = await request.body()
    if not raw:
        return None
    media = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        raise BadRequest(f"the body must be application/json, not {media!r}", code="unsupported_media_type")
    try:
        return _JSON.validate_json(raw)
    except ValidationError as error:
        raise invalid([dict(item) for item in error.errors()]) from error


def _failure(view: ExecutionView, *, is_public: bool) -> SkyscaleError:
    why = "" if is_public else f": {view.error_message or view.status.value}"
    error = EndpointFailed(f"execution {view.execution_id} ended as {view.status.value}{why}")
    error.status = _STATUS.get(view.status, 500)
    return error
