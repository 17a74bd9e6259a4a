"""The one error shape: `application/problem+json` (RFC 9457) with a code, a hint and the request's id."""

from skyscale.wire.base import Reply


class ProblemDetails(Reply):
    """The body of every reply with a status of 400 or more."""

    status: int
    code: str
    """Stable and machine-readable, for example `run_not_found`."""
    detail: str
    """What happened, for a person."""
    hint: str
    """What to do about it."""
    request_id: str
