"""From an HTTP failure to the exception it stands for. Pure.

The server turned a `skyscale.errors` class into problem+json; here it becomes the same class again, so that a caller
in another process catches what it would have caught in the same one.
"""

from collections.abc import Mapping
from typing import cast

import orjson

from skyscale.errors import BadRequest, SkyscaleError, TooMany, Unavailable, error_classes

_BY_CODE = error_classes()
# The first class of a status is the general one: 503 is Unavailable unless the code says SandboxFailure.
_BY_STATUS = {cls.status: cls for cls in reversed(_BY_CODE.values())}


def error_of(status: int, headers: Mapping[str, str], content: bytes) -> SkyscaleError:
    """The exception for a reply with a status of 400 or more; bodies of any shape are accepted."""
    body = _object(content)
    code = str(body.get("code") or "")
    cls = _BY_CODE.get(code) or _BY_STATUS.get(status) or (SkyscaleError if status >= 500 else BadRequest)
    detail = str(body.get("detail") or "") or f"the server answered {status}"
    if status >= 500 and body.get("request_id"):
        detail = f"{detail} (request {body['request_id']})"
    hint = str(body.get("hint") or "") or None
    if cls is TooMany:
        error: SkyscaleError = TooMany(detail, retry_after_s=_seconds(headers.get("retry-after"), 1.0))
        error.code, error.hint = code or error.code, hint or error.hint
    else:
        error = cls(detail, code=code or None, hint=hint)
    error.status = status
    return error


def unreachable(url: str, cause: Exception) -> Unavailable:
    """The exception for a request that got no reply at all."""
    reason = str(cause) or type(cause).__name__
    hint = "Check that it runs and that the URL is right."
    return Unavailable(f"no answer from {url}: {reason}", code="unreachable", hint=hint)


def is_passing(error: SkyscaleError) -> bool:
    """Whether the same request may succeed a little later: no answer, 5xx, 429."""
    return error.status >= 500 or error.status == 429


def _object(content: bytes) -> dict[str, object]:
    try:
        body: object = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, object]", body) if isinstance(body, dict) else {}


def _seconds(text: str | None, default: float) -> float:
    try:
        return max(0.0, float(text)) if text is not None else default
    except ValueError:
        return default  # Retry-After may be a date; ours never is
