"""The exception tree; a class is named for the boundary that was crossed, and its docstring is its default message.

    SkyscaleError
    ├── BadRequest 400        the caller's input cannot mean anything
    ├── Unauthorized 401      no or wrong credentials
    ├── Forbidden 403         right credentials for something else
    ├── NotFound 404
    ├── Conflict 409          the thing is not in a state that allows this
    ├── Gone 410              it has ended; stop asking
    ├── TooLarge 413
    ├── Invalid 422           a field's value is refused
    ├── EnvironmentFailure 424  a run's own environment (file or service) broke or answered nonsense
    ├── TooMany 429           come back after `retry_after_s`
    ├── Unavailable 503       something it needs is not there (yet)
    ├── SandboxFailure 503    the sandbox broke, not the code in it
    └── ProtocolError 502     the other side answered nonsense

The API turns them into `wire.errors.ProblemDetails`; the SDK turns that back into the same class.
Arguments that break a function's contract are `ValueError`; our own mistakes are `assert`.
"""


class SkyscaleError(Exception):
    """Something went wrong."""

    status = 500
    code = "internal_error"
    hint = "This is a defect of Skyscale; the request id finds it in the log."

    def __init__(self, detail: str | None = None, *, code: str | None = None, hint: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.code = code or type(self).code
        self.hint = hint or type(self).hint
        super().__init__(self.detail)


class BadRequest(SkyscaleError):
    """The request cannot be understood."""

    status, code, hint = 400, "bad_request", "Compare the request with the API reference at /docs."


class Unauthorized(SkyscaleError):
    """This call needs credentials."""

    status, code, hint = 401, "unauthorized", "Send `Authorization: Bearer <token>`."


class Forbidden(SkyscaleError):
    """These credentials do not open this."""

    status, code, hint = 403, "forbidden", "Use a token of the run and role that this belongs to."


class NotFound(SkyscaleError):
    """There is no such thing."""

    status, code, hint = 404, "not_found", "Check the id; lists show what exists."


class Conflict(SkyscaleError):
    """The current state does not allow this."""

    status, code, hint = 409, "conflict", "Read the current state and decide again."


class Gone(SkyscaleError):
    """It has ended."""

    status, code, hint = 410, "gone", "Stop: nothing more is wanted."


class TooLarge(SkyscaleError):
    """The body is too large."""

    status, code, hint = 413, "too_large", "Send less at once."


class Invalid(SkyscaleError):
    """A value is refused."""

    status, code, hint = 422, "invalid", "Correct the named fields."


class EnvironmentFailure(SkyscaleError):
    """The run's own environment broke."""

    status, code, hint = 424, "environment_failed", "Correct the reward or environment file, or see to the service."


class TooMany(SkyscaleError):
    """Too much at once."""

    status, code, hint = 429, "too_many", "Try again after `Retry-After`."

    def __init__(self, detail: str | None = None, *, retry_after_s: float = 1.0, **kwargs: str) -> None:
        super().__init__(detail, **kwargs)
        self.retry_after_s = retry_after_s


class Unavailable(SkyscaleError):
    """Something that this needs is not there."""

    status, code, hint = 503, "unavailable", "Try again; the run's events say what it waits for."


class SandboxFailure(SkyscaleError):
    """The sandbox broke, not the code in it."""

    status, code, hint = 503, "sandbox_failure", "Try again; it is given a fresh sandbox."


class ProtocolError(SkyscaleError):
    """The other side answered something that is not in the protocol."""

    status, code, hint = 502, "protocol_error", "Check that both sides run the same version."


def error_classes() -> dict[str, type[SkyscaleError]]:
    """Every class of the tree by its default code, for turning a reply back into an exception."""
    return {cls.code: cls for cls in (SkyscaleError, *SkyscaleError.__subclasses__())}
