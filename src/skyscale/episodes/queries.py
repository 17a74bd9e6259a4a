"""SQL of single episodes, and of what was played for evaluations."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.store.tables.buffer import buffer_groups as groups
from skyscale.store.tables.buffer import buffer_payloads as payloads
from skyscale.store.tables.episodes import episodes
from skyscale.wire.episodes import Purpose


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """A single episode."""

    sandbox_id: str
    episode_id: str
    problem_set: str
    problem_id: str
    run_id: str | None
    touched_at: datetime
    closed_at: datetime | None


async def insert_episode(connection: AsyncConnection, row: EpisodeRow) -> None:
    """A new open episode."""
    values = {name: getattr(row, name) for name in row.__slots__}
    await connection.execute(insert(episodes).values(**values, steps=0))


async def load_episode(connection: AsyncConnection, sandbox_id: str) -> EpisodeRow | None:
    """The episode of a sandbox id."""
    row = (await connection.execute(select(episodes).where(episodes.c.sandbox_id == sandbox_id))).first()
    if row is None:
        return None
    return EpisodeRow(
        row.sandbox_id, row.episode_id, row.problem_set, row.problem_id, row.run_id, row.touched_at, row.closed_at
    )


async def touch_episode(connection: AsyncConnection, sandbox_id: str, now: datetime) -> None:
    """Note a step."""
    mine = episodes.c.sandbox_id == sandbox_id
    await connection.execute(update(episodes).where(mine).values(touched_at=now, steps=episodes.c.steps + 1))


async def close_episode(connection: AsyncConnection, sandbox_id: str, now: datetime) -> None:
    """End an open episode."""
    mine = and_(episodes.c.sandbox_id == sandbox_id, episodes.c.closed_at.is_(None))
    await connection.execute(update(episodes).where(mine).values(closed_at=now))


async def close_idle(connection: AsyncConnection, touched_before: datetime, now: datetime) -> None:
    """End episodes that nobody has used for too long."""
    idle = and_(episodes.c.closed_at.is_(None), episodes.c.touched_at < touched_before)
    await connection.execute(update(episodes).where(idle).values(closed_at=now))


async def num_open(connection: AsyncConnection) -> int:
    """Open episodes."""
    query = select(func.count()).select_from(episodes).where(episodes.c.closed_at.is_(None))
    return (await connection.execute(query)).scalar_one()


@dataclass(frozen=True, slots=True)
class PlayedGroup:
    """A train group that was pushed, as a curriculum sees it."""

    sequence: int
    problem_id: str
    reward: float
    """Mean over the episodes that our infrastructure did not break."""
    pushed_at: datetime


async def played_groups(connection: AsyncConnection, run_id: str, since: datetime | None) -> list[PlayedGroup]:
    """Train groups of a run with an episode to judge by, pushed at that time or later."""
    query = select(
        groups.c.sequence, groups.c.problem_id, groups.c.reward_sum, groups.c.kept, groups.c.pushed_at
    ).where(groups.c.run_id == run_id, groups.c.purpose == Purpose.TRAIN, groups.c.kept > 0)
    pushed = groups.c.pushed_at.is_not(None) if since is None else groups.c.pushed_at >= since
    rows = await connection.execute(query.where(pushed))
    return [PlayedGroup(row.sequence, row.problem_id, row.reward_sum / row.kept, row.pushed_at) for row in rows]


@dataclass(frozen=True, slots=True)
class EvaluatedProblem:
    """What came of one held-out problem in one evaluation."""

    problem_id: str
    kept: int
    passed: int | None
    """Null for a group that was pushed before this was recorded."""
    reward_sum: float


async def evaluated_problems(connection: AsyncConnection, run_id: str, version: int) -> list[EvaluatedProblem]:
    """The problems of one evaluation, in its order."""
    query = select(groups.c.problem_id, groups.c.kept, groups.c.passed, groups.c.reward_sum).where(
        groups.c.run_id == run_id, groups.c.purpose == Purpose.EVAL, groups.c.version == version
    )
    return [EvaluatedProblem(*row) for row in await connection.execute(query.order_by(groups.c.sequence))]


async def evaluation_payloads(connection: AsyncConnection, run_id: str, version: int) -> list[bytes]:
    """What was pushed for one evaluation and is still kept, in the order of its problems."""
    query = (
        select(payloads.c.payload)
        .join(groups, groups.c.group_id == payloads.c.group_id)
        .where(groups.c.run_id == run_id, groups.c.purpose == Purpose.EVAL, groups.c.version == version)
        .order_by(groups.c.sequence)
    )
    return list((await connection.execute(query)).scalars())
