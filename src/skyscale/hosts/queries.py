"""All SQL of sandbox hosts."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.hosts.rules import OPEN
from skyscale.store.tables.sandbox_hosts import sandbox_hosts
from skyscale.wire.hosts import HostReport, HostState

_OPEN = sandbox_hosts.c.state.in_([state.value for state in OPEN])


@dataclass(frozen=True, slots=True)
class HostRow:
    """A row, read."""

    host_id: str
    state: HostState
    report: HostReport
    registered_at: datetime
    seen_at: datetime
    reason: str | None = None


async def get(connection: AsyncConnection, host_id: str) -> HostRow | None:
    """One host."""
    query = select(sandbox_hosts).where(sandbox_hosts.c.host_id == host_id)
    row = (await connection.execute(query)).first()
    if row is None:
        return None
    report = HostReport.model_validate(row.report)
    return HostRow(row.host_id, HostState(row.state), report, row.registered_at, row.seen_at, row.reason)


async def rows(connection: AsyncConnection, *, is_open: bool) -> list[HostRow]:
    """The hosts that are in use, or all; newest first."""
    query = select(sandbox_hosts).order_by(sandbox_hosts.c.registered_at.desc())
    found = await connection.execute(query.where(_OPEN) if is_open else query.limit(1000))
    return [
        HostRow(
            row.host_id, HostState(row.state), HostReport.model_validate(row.report), row.registered_at, row.seen_at,
            row.reason,
        )
        for row in found
    ]  # fmt: skip


async def put(connection: AsyncConnection, host_id: str, report: HostReport, now: datetime, *, is_new: bool) -> None:
    """Note a report."""
    values: dict[str, object] = {
        "url": report.url, "state": report.state, "report": report.model_dump(mode="json"), "seen_at": now,
        "reason": None,
    }  # fmt: skip
    if is_new:
        await connection.execute(insert(sandbox_hosts).values(host_id=host_id, registered_at=now, **values))
    else:
        await connection.execute(update(sandbox_hosts).where(sandbox_hosts.c.host_id == host_id).values(values))


async def at_url(connection: AsyncConnection, url: str, but: str) -> list[str]:
    """Open hosts at an address, but for one."""
    query = select(sandbox_hosts.c.host_id).where(_OPEN, sandbox_hosts.c.url == url, sandbox_hosts.c.host_id != but)
    return list((await connection.execute(query)).scalars())


async def end(connection: AsyncConnection, host_ids: Collection[str], state: HostState, reason: str) -> int:
    """Close rows that are open; how many."""
    query = update(sandbox_hosts).where(sandbox_hosts.c.host_id.in_(host_ids), _OPEN)
    return (await connection.execute(query.values(state=state.value, reason=reason))).rowcount


async def forget(connection: AsyncConnection, seen_before: datetime) -> None:
    """Drop rows of hosts that ended long ago."""
    await connection.execute(delete(sandbox_hosts).where(~_OPEN, sandbox_hosts.c.seen_at < seen_before))
