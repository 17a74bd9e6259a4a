"""SQL of what was judged: rewards of groups that are not pushed yet, and runs whose environment leaves no future."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.store.prepared import Prepared
from skyscale.store.tables.buffer import buffer_groups as groups
from skyscale.store.tables.buffer import buffer_runs as runs


async def add_judged(connection: AsyncConnection, group_id: str, rewards: Mapping[str, float]) -> None:
    """Add to what was judged of a group that is not pushed yet."""
    mine = and_(groups.c.group_id == group_id, groups.c.pushed_at.is_(None))
    row = (await connection.execute(select(groups.c.judged).where(mine).with_for_update())).first()
    if row is not None:
        known: dict[str, float] = row.judged or {}
        await connection.execute(update(groups).where(mine).values(judged=known | dict(rewards)))


def judged_of(connection: Connection, group_ids: Iterable[str]) -> dict[str, dict[str, float]]:
    """What was judged of those of these groups of which something was."""
    mine = and_(groups.c.group_id.in_(sorted(group_ids)), groups.c.pushed_at.is_(None))
    rows = connection.execute(select(groups.c.group_id, groups.c.judged).where(mine))
    return {group_id: judged for group_id, judged in rows if judged}


async def give_up(connection: AsyncConnection, run_id: str, reason: str, since: datetime) -> None:
    """Note why a run's environment leaves it no future, unless it gave something to learn from since then."""
    pushed = and_(groups.c.run_id == run_id, groups.c.pushed_at > since, groups.c.kept > 0)
    mine = and_(runs.c.run_id == run_id, runs.c.hopeless.is_(None), ~exists().where(pushed))
    await connection.execute(update(runs).where(mine).values(hopeless=reason))


_HOPELESS = Prepared(select(runs.c.hopeless).where(runs.c.run_id == bindparam("run")))


async def hopeless(connection: AsyncConnection, run_id: str) -> str | None:
    """Why a run's environment leaves it no future."""
    row = await _HOPELESS.first(connection, {"run": run_id})
    return row[0] if row is not None else None
