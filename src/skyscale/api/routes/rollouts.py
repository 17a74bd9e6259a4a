"""Rollouts over HTTP: list, show, export."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import StreamingResponse

from skyscale.api.deps import Caller, Parts, RunId, reply
from skyscale.api.errors import RESPONSES
from skyscale.auth.principal import require_reader
from skyscale.buffer.rules import GroupState
from skyscale.rollouts import export
from skyscale.rollouts.rules import RolloutFilter
from skyscale.wire.episodes import Outcome, Purpose
from skyscale.wire.rollouts import RolloutDetail, RolloutPage

router = APIRouter(prefix="/api/rl/runs", tags=["rollouts"], responses=RESPONSES)
Version = Annotated[int | None, Query(ge=0, lt=2**31)]
Reward = Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)]


def _filter(
    problem: Annotated[str | None, Query(max_length=80, description="Only groups of this problem.")] = None,
    purpose: Purpose | None = None,
    state: GroupState | None = None,
    outcome: Annotated[
        Outcome | None, Query(description="Only groups with at least one episode that ended so.")
    ] = None,
    min_version: Version = None,
    max_version: Version = None,
    min_reward: Reward = None,
    max_reward: Reward = None,
    text: Annotated[
        str | None, Query(max_length=200, description="Only groups in which a completion contains this.")
    ] = None,
) -> RolloutFilter:
    return RolloutFilter(
        problem_id=problem.replace("\x00", "\ufffd") if problem else None,
        purpose=purpose, state=state, outcome=outcome,
        min_version=min_version, max_version=max_version, min_reward=min_reward, max_reward=max_reward,
        text=text or None,
    )  # fmt: skip


Wanted = Annotated[RolloutFilter, Depends(_filter)]


@router.get(
    "/{run_id}/rollouts",
    summary="List the groups that a run played",
    description="Newest first, in pages. Bounds on `version` are of the version that the group was played for, bounds "
    "on `reward` of the group's mean. A text search looks through what is kept for about a second per call: a page "
    "may be short or empty and still have a `next_cursor`.",
    operation_id="list_rollouts",
    response_model=RolloutPage,
)
async def list_rollouts(
    run_id: RunId,
    parts: Parts,
    caller: Caller,
    wanted: Wanted,
    cursor: Annotated[str | None, Query(max_length=300)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """A page of groups."""
    require_reader(caller, run_id)
    return reply(await parts.rollouts.page(run_id, wanted, cursor, limit))


@router.get(
    "/{run_id}/rollouts.parquet",
    summary="Export rollouts as Parquet",
    description="One row per completion of every group whose content is kept, newest first, streamed. The same filters "
    "as the list.",
    operation_id="export_rollouts",
    response_class=Response,
    responses={200: {"content": {"application/vnd.apache.parquet": {}}, "description": "A Parquet file."}},
)
async def export_rollouts(run_id: RunId, parts: Parts, caller: Caller, wanted: Wanted) -> Response:
    """A file that pyarrow, pandas, DuckDB and `datasets` read."""
    require_reader(caller, run_id)
    export.require_pyarrow()
    await parts.views.require(run_id)
    name = {"Content-Disposition": f'attachment; filename="{run_id}.parquet"'}
    stream = export.parquet(run_id, parts.rollouts.contents(run_id, wanted))
    return StreamingResponse(stream, media_type="application/vnd.apache.parquet", headers=name)


@router.get(
    "/{run_id}/rollouts/{group_id}",
    summary="Show a group with everything that is kept of it",
    description="The problem, the chat, and each completion with its reward and parts, test results, output, turns "
    "and, unless `tokens=false`, token ids, strings, log-probabilities and versions.",
    operation_id="get_rollout",
    response_model=RolloutDetail,
)
async def get_rollout(
    run_id: RunId,
    parts: Parts,
    caller: Caller,
    group_id: Annotated[str, Path(max_length=80)],
    tokens: bool = True,
) -> Response:
    """One group."""
    require_reader(caller, run_id)
    return reply(await parts.rollouts.show(run_id, group_id, with_tokens=tokens))
