"""Every question to Modal: a deadline, and what the client raises told apart."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from skyscale.errors import Invalid, NotFound, Unavailable
from skyscale.jobs.provider import NoCapacity, Refused


class Taken(Unavailable):
    """A sandbox of that name is there."""


class Slow(Unavailable):
    """No answer before the deadline."""


class NotYet(Unavailable):
    """The sandbox has not been placed."""


@asynccontextmanager
async def asked(limit_s: float) -> AsyncGenerator[None]:
    """A deadline, and the client's errors told apart."""
    from modal import exception as said

    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise Slow(f"Modal does not answer within {limit_s:g} s") from error
    except said.AlreadyExistsError as error:
        raise Taken(str(error)) from error
    except said.NotFoundError as error:
        raise NotFound(f"Modal: {error}") from error
    except (said.AuthError, said.PermissionDeniedError) as error:
        raise Refused(f"Modal refuses: {error}") from error
    except said.ResourceExhaustedError as error:
        raise NoCapacity(f"Modal has no room: {error}") from error
    except (said.InvalidError, said.RemoteError) as error:
        if isinstance(error, said.ConflictError):
            raise Unavailable(f"Modal: {error}") from error  # it ended while it was created: `find` knows
        raise Invalid(f"Modal refuses the job: {error}", code="job_refused") from error
    except said.ExecutionError as error:
        raise NotYet(str(error)) from error
    except (said.Error, OSError) as error:
        raise Unavailable(f"Modal does not answer: {error or type(error).__name__}") from error
