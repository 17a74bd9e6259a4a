"""What everything has cost."""

from fastapi import APIRouter, Response

from skyscale.api.deps import Caller, Parts, reply
from skyscale.api.errors import RESPONSES
from skyscale.auth.principal import require_reader
from skyscale.wire.costs import Spending

router = APIRouter(prefix="/api", tags=["costs"], responses=RESPONSES)


@router.get(
    "/costs",
    summary="What everything has cost",
    description="Runs, jobs of their own and services, each together, by their meters: so far, and an hour now.",
    operation_id="get_costs",
    response_model=Spending,
)
async def costs(parts: Parts, caller: Caller) -> Response:
    """The sums of all meters."""
    require_reader(caller, None)
    return reply(await parts.money.spending())
