"""SQL of rollouts: reads groups and payloads, writes verdict notes, deletes old content.

Groups are read along `ix_buffer_groups_pushed`, so a page costs what is on it; payloads are read by key.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, exists, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.rollouts.rules import SETTLED, Retention, RolloutFilter
from skyscale.store.tables.buffer import buffer_groups as groups
from skyscale.store.tables.buffer import buffer_payloads as payloads
from skyscale.store.tables.buffer import buffer_runs as runs
from skyscale.store.tables.rollouts import rollout_verdicts as verdicts
from skyscale.wire.episodes import Outcome, Purpose
from skyscale.wire.rollouts import RolloutRow
from skyscale.wire.runs import RunSpec

_kept = payloads.alias()
_ROW = (
    groups.c.group_id,
    groups.c.problem_id,
    groups.c.purpose,
    groups.c.state,
    groups.c.sequence,
    groups.c.version,
    groups.c.min_version,
    groups.c.pushed_at,
    groups.c.kept,
    groups.c.dropped,
    groups.c.truncated,
    groups.c.passed,
    groups.c.reward_sum,
    groups.c.reward_min,
    groups.c.reward_max,
    exists().where(_kept.c.group_id == groups.c.group_id).label("has_content"),
)


@dataclass(frozen=True, slots=True)
class Stored:
    """A group and its payload, if that is still kept."""

    row: RolloutRow
    payload: bytes | None


def _row(row: Row[*tuple[Any, ...]]) -> RolloutRow:
    return RolloutRow(
        group_id=row.group_id,
        problem_id=row.problem_id,
        purpose=Purpose(row.purpose),
        state=row.state,
        sequence=row.sequence,
        version=row.version,
        min_version=row.min_version,
        pushed_at=row.pushed_at,
        num_completions=row.kept,
        num_dropped=row.dropped,
        num_truncated=row.truncated,
        num_passed=row.passed,
        reward_mean=row.reward_sum / row.kept if row.kept else None,
        reward_min=row.reward_min,
        reward_max=row.reward_max,
        has_content=bool(row.has_content),
    )


async def spec_of(connection: AsyncConnection, run_id: str) -> RunSpec | None:
    """The specification of a run."""
    spec = (await connection.execute(select(runs.c.spec).where(runs.c.run_id == run_id))).scalar()
    return None if spec is None else RunSpec.model_validate(spec)


async def run_ids(connection: AsyncConnection) -> list[str]:
    """Every run that ever played."""
    return list((await connection.execute(select(runs.c.run_id).order_by(runs.c.run_id))).scalars())


def _wanted(run_id: str, wanted: RolloutFilter) -> list[ColumnElement[bool]]:
    mean = groups.c.reward_sum / func.nullif(groups.c.kept, 0)
    outcomes = {
        Outcome.TRUNCATED: groups.c.truncated > 0,
        Outcome.INFRASTRUCTURE_FAILURE: groups.c.dropped > 0,
        Outcome.SCORED: groups.c.kept > func.coalesce(groups.c.truncated, 0),
    }
    given: list[tuple[object, Callable[[Any], ColumnElement[bool]]]] = [
        (wanted.problem_id, lambda value: groups.c.problem_id == value),
        (wanted.purpose, lambda value: groups.c.purpose == value),
        (wanted.state, lambda value: groups.c.state == value),
        (wanted.outcome, lambda value: outcomes[value]),
        (wanted.min_version, lambda value: groups.c.version >= value),
        (wanted.max_version, lambda value: groups.c.version <= value),
        (wanted.min_reward, lambda value: mean >= value),
        (wanted.max_reward, lambda value: mean <= value),
    ]
    conditions = [groups.c.run_id == run_id, groups.c.pushed_at.is_not(None)]
    return conditions + [condition(value) for value, condition in given if value is not None]


def _older(after: tuple[datetime, str] | None) -> list[ColumnElement[bool]]:
    if after is None:
        return []
    pushed_at, group_id = after
    same = and_(groups.c.pushed_at == pushed_at, groups.c.group_id < group_id)
    return [or_(groups.c.pushed_at < pushed_at, same)]


def _newest_first(
    query: Select[*tuple[Any, ...]], run_id: str, wanted: RolloutFilter, after: tuple[datetime, str] | None, limit: int
) -> Select[*tuple[Any, ...]]:
    conditions = _wanted(run_id, wanted) + _older(after)
    return query.where(*conditions).order_by(groups.c.pushed_at.desc(), groups.c.group_id.desc()).limit(limit)


async def page(
    connection: AsyncConnection, run_id: str, wanted: RolloutFilter, after: tuple[datetime, str] | None, limit: int
) -> list[RolloutRow]:
    """Groups that were pushed before a point, newest first; the filter's `text` is not looked at."""
    rows = await connection.execute(_newest_first(select(*_ROW), run_id, wanted, after, limit))
    return [_row(row) for row in rows]


async def page_with_payloads(
    connection: AsyncConnection, run_id: str, wanted: RolloutFilter, after: tuple[datetime, str] | None, limit: int
) -> list[Stored]:
    """The same with their payloads, groups without one left out."""
    query = select(*_ROW, payloads.c.payload).join(payloads, payloads.c.group_id == groups.c.group_id)
    rows = await connection.execute(_newest_first(query, run_id, wanted, after, limit))
    return [Stored(_row(row), bytes(row.payload)) for row in rows]


async def get(connection: AsyncConnection, run_id: str, group_id: str) -> Stored | None:
    """One pushed group of a run."""
    query = select(*_ROW, payloads.c.payload).outerjoin(payloads, payloads.c.group_id == groups.c.group_id)
    pushed = (groups.c.run_id == run_id, groups.c.group_id == group_id, groups.c.pushed_at.is_not(None))
    row = (await connection.execute(query.where(*pushed))).first()
    return None if row is None else Stored(_row(row), None if row.payload is None else bytes(row.payload))


def insert_verdicts(connection: Connection, rows: list[dict[str, object]]) -> None:
    """Notes of verdicts (`group_id`, `body`)."""
    connection.execute(insert(verdicts), rows)


async def verdicts_of(connection: AsyncConnection, group_ids: Sequence[str]) -> dict[str, list[bytes]]:
    """The notes of each group, oldest first."""
    query = select(verdicts.c.group_id, verdicts.c.body).where(verdicts.c.group_id.in_(group_ids))
    found: dict[str, list[bytes]] = {}
    for group_id, body in await connection.execute(query.order_by(verdicts.c.id)):
        found.setdefault(group_id, []).append(bytes(body))
    return found


async def keep_until(connection: AsyncConnection, run_id: str, purpose: Purpose, keep: int) -> datetime | None:
    """When the newest group that is beyond the `keep` newest of its purpose was pushed; None if none is."""
    mine = (groups.c.run_id == run_id, groups.c.purpose == purpose, groups.c.pushed_at.is_not(None))
    query = select(groups.c.pushed_at).where(*mine).order_by(groups.c.pushed_at.desc())
    return (await connection.execute(query.offset(keep).limit(1))).scalar()


async def sweepable(
    connection: AsyncConnection,
    run_id: str,
    purpose: Purpose,
    span: tuple[datetime | None, datetime],
    retention: Retention,
    limit: int,
) -> list[tuple[str, datetime]]:
    """Old settled groups with content, pushed within the span, that the retention rule gives up; oldest first."""
    since, until = span
    query = select(groups.c.group_id, groups.c.pushed_at).join(payloads, payloads.c.group_id == groups.c.group_id)
    conditions = [groups.c.run_id == run_id, groups.c.purpose == purpose, groups.c.pushed_at <= until]
    conditions.append(groups.c.state.in_(SETTLED))
    if since is not None:
        conditions.append(groups.c.pushed_at >= since)
    if purpose is Purpose.EVAL:
        conditions.append(groups.c.version != 0)
    elif retention.sample_every > 0:
        conditions.append(groups.c.sequence % retention.sample_every != 0)
    rows = await connection.execute(query.where(*conditions).order_by(groups.c.pushed_at).limit(limit))
    return [(group_id, pushed_at) for group_id, pushed_at in rows]


def delete_content(connection: Connection, group_ids: Sequence[str]) -> int:
    """Delete payloads and notes of settled groups; how many payloads that were."""
    settled = select(groups.c.group_id).where(groups.c.group_id.in_(group_ids), groups.c.state.in_(SETTLED))
    gone = connection.execute(delete(payloads).where(payloads.c.group_id.in_(settled))).rowcount
    connection.execute(delete(verdicts).where(verdicts.c.group_id.in_(settled)))
    return gone
