"""Which control planes there are, and which of them leads."""

from fastapi import APIRouter, Response

from skyscale.api.deps import Caller, Parts, reply
from skyscale.api.errors import RESPONSES
from skyscale.auth.principal import require_reader
from skyscale.wire.replicas import ReplicaList

router = APIRouter(prefix="/api", tags=["service"], responses=RESPONSES)


@router.get(
    "/replicas",
    summary="Control planes on this database",
    description="Each with its address, when it started, its last sign of life, and who leads since when.",
    operation_id="list_replicas",
    response_model=ReplicaList,
)
async def list_replicas(parts: Parts, caller: Caller) -> Response:
    """As the control plane that answers sees them."""
    require_reader(caller, None)
    return reply(await parts.reconcilers.leadership.seen())
