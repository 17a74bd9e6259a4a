"""The calls that read rollouts, made and read. Pure."""

from typing import TypedDict, cast

from skyscale.sdk.call import Call, Param, get, reading
from skyscale.wire.rollouts import RolloutDetail, RolloutPage


class RolloutFilters(TypedDict, total=False):
    """Conditions on groups; every given one must hold."""

    problem: str | None
    purpose: str | None
    state: str | None
    outcome: str | None
    min_version: int | None
    max_version: int | None
    min_reward: float | None
    max_reward: float | None
    text: str | None


def list_rollouts(run_id: str, cursor: str | None, limit: int | None, filters: RolloutFilters) -> Call[RolloutPage]:
    """`GET /api/rl/runs/{id}/rollouts`."""
    place = {"cursor": cursor, "limit": limit}
    params = query_of(filters) | {name: value for name, value in place.items() if value is not None}
    return Call("GET", f"/api/rl/runs/{run_id}/rollouts", reading(RolloutPage), params)


def get_rollout(run_id: str, group_id: str, with_tokens: bool) -> Call[RolloutDetail]:
    """`GET /api/rl/runs/{id}/rollouts/{group_id}`."""
    tokens = "true" if with_tokens else "false"
    return get(f"/api/rl/runs/{run_id}/rollouts/{group_id}", reading(RolloutDetail), tokens=tokens)


def export_path(run_id: str) -> str:
    """`GET /api/rl/runs/{id}/rollouts.parquet`."""
    return f"/api/rl/runs/{run_id}/rollouts.parquet"


def query_of(filters: RolloutFilters) -> dict[str, Param]:
    """The conditions that are given, as query parameters."""
    named = cast("dict[str, Param | None]", filters)
    return {name: value for name, value in named.items() if value is not None}
