"""A run's whole metrics history over HTTP, as columns: what charts read."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from skyscale.api.deps import Caller, Parts, RunId, reply
from skyscale.api.errors import RESPONSES
from skyscale.auth.principal import require_reader
from skyscale.wire.runs import MetricsColumns

router = APIRouter(prefix="/api/rl/runs", tags=["runs"], responses=RESPONSES)
MAX_CURSOR = 2**53
MAX_REPORTS = 10_000


@router.get(
    "/{run_id}/metrics",
    summary="Read a run's metrics",
    description="The trainer's reports after the cursor `after`, oldest first, as columns; the reply's `after` is the "
    "next cursor. `keys` names the metrics that are wanted, separated by commas; without it all are sent.",
    operation_id="list_metrics",
    response_model=MetricsColumns,
)
async def list_metrics(
    run_id: RunId,
    parts: Parts,
    caller: Caller,
    after: Annotated[int, Query(ge=0, le=MAX_CURSOR)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_REPORTS)] = 1000,
    keys: Annotated[str, Query(max_length=2000)] = "",
) -> Response:
    """Reports, oldest first."""
    require_reader(caller, run_id)
    wanted = frozenset(key for key in keys.split(",") if key)
    return reply(await parts.views.metrics(run_id, after, limit, wanted))
