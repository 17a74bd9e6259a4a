"""What the control plane says of itself."""

from typing import Literal

from skyscale.wire.base import Reply


class Health(Reply):
    """The reply to `GET /health`; 503 and `degraded` when the database does not answer."""

    status: Literal["ok", "degraded"]
    version: str
    database: Literal["ok", "unreachable"]
