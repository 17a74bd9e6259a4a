"""Base classes of all wire models, and how identifiers are made."""

import secrets
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict


class Request(BaseModel):
    """A body that a caller sends: unknown fields are refused, so a typo is an error and not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Reply(BaseModel):
    """A body that we send: unknown fields are ignored by our clients, so that servers may grow."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)


def new_id(prefix: str) -> str:
    """A fresh identifier such as `rl-3f9c2a71b04d`; 48 random bits after the prefix."""
    return f"{prefix}-{secrets.token_hex(6)}"


def utc_now() -> datetime:
    """The current time, aware, in UTC: the only kind of time on the wire and in the database."""
    return datetime.now(UTC)
