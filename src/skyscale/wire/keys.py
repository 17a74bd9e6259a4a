"""API keys: what a person gives a program, so that it speaks for them. The secret is shown once, and stored hashed."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from skyscale.wire.base import Reply, Request

MAX_KEY_DAYS = 3660


class Scope(StrEnum):
    """How far a credential reaches; each includes the one before."""

    READ = "read"
    """Look at everything, change nothing."""
    OPERATE = "operate"
    """Start, stop and change things, which may cost money."""
    ADMIN = "admin"
    """Also make and revoke the keys of everybody."""


class ApiKeyCreate(Request):
    """The body of `POST /api/keys`."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    """What it is for, so that it can be told from others later."""
    scope: Scope = Scope.READ
    expires_in_days: Annotated[float | None, Field(gt=0, le=MAX_KEY_DAYS)] = 90
    """Null for one that does not expire."""


class ApiKeyView(Reply):
    """A key, without its secret."""

    key_id: str
    name: str
    scope: Scope
    start: str
    """The first characters of the secret, to recognise it by."""
    owner: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""
    revoked_at: datetime | None


class ApiKeyCreated(Reply):
    """The reply of `POST /api/keys`."""

    key: ApiKeyView
    secret: str
    """The key itself. It is not kept: nobody can show it again."""


class ApiKeyPage(Reply):
    """Keys, newest first."""

    keys: list[ApiKeyView]
    next_cursor: str | None


class WhoAmI(Reply):
    """The reply of `GET /api/whoami`."""

    kind: Literal["operator", "job", "anonymous"]
    scope: Scope | None
    """Null for jobs, which may do what their role needs, and for anonymous callers."""
    user: str | None
    """Whose session or key this is, where that is known."""
    key_id: str | None
    run_id: str | None
    job_id: str | None
