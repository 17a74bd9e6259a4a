"""All SQL of interactive sandboxes."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.store.tables.sandboxes import sandboxes
from skyscale.wire.sandboxes import SandboxCreate, SandboxStatus, SandboxView

_OPEN = sandboxes.c.status.not_in([SandboxStatus.DESTROYED.value, SandboxStatus.FAILED.value])


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRow:
    """A row, read."""

    sandbox_id: str
    caller: str
    holder: str
    lease_until: datetime
    status: SandboxStatus
    request: SandboxCreate
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    destroyed_at: datetime | None = None
    reason: str | None = None
    host_id: str | None = None

    def view(self) -> SandboxView:
        """As the wire shows it."""
        asked = self.request
        return SandboxView(
            id=self.sandbox_id, status=self.status, runtime=asked.runtime, backend=asked.backend,
            network=asked.network, limits=asked.limits, metadata=asked.metadata, ttl_seconds=asked.ttl_seconds,
            idle_seconds=asked.idle_seconds, created_at=self.created_at, last_used_at=self.last_used_at,
            expires_at=self.expires_at, destroyed_at=self.destroyed_at, reason=self.reason,
            host=self.host_id,
        )  # fmt: skip


async def insert_sandbox(connection: AsyncConnection, row: SandboxRow) -> None:
    """A new row."""
    values = {name: getattr(row, name) for name in row.__slots__}
    values |= {"status": row.status.value, "request": row.request.model_dump(mode="json")}
    await connection.execute(insert(sandboxes).values(**values))


async def get(connection: AsyncConnection, sandbox_id: str) -> SandboxRow | None:
    """One sandbox."""
    row = (await connection.execute(select(sandboxes).where(sandboxes.c.sandbox_id == sandbox_id))).first()
    return None if row is None else _read(row)


async def page(
    connection: AsyncConnection, caller: str, *, is_open: bool | None, before: int | None, limit: int
) -> list[tuple[int, SandboxRow]]:
    """A caller's sandboxes with their sequence numbers, newest first."""
    statement = select(sandboxes).where(sandboxes.c.caller == caller).order_by(sandboxes.c.seq.desc()).limit(limit)
    if is_open is not None:
        statement = statement.where(_OPEN if is_open else ~_OPEN)
    if before is not None:
        statement = statement.where(sandboxes.c.seq < before)
    return [(row.seq, _read(row)) for row in await connection.execute(statement)]


async def num_open(connection: AsyncConnection) -> dict[str, int]:
    """Open sandboxes by caller."""
    statement = select(sandboxes.c.caller, func.count()).where(_OPEN).group_by(sandboxes.c.caller)
    return {row[0]: row[1] for row in await connection.execute(statement)}


async def set_ready(connection: AsyncConnection, sandbox_id: str) -> bool:
    """From starting to ready; False when it was destroyed meanwhile."""
    statement = update(sandboxes).where(sandboxes.c.sandbox_id == sandbox_id, sandboxes.c.status == "starting")
    return (await connection.execute(statement.values(status=SandboxStatus.READY.value))).rowcount == 1


async def set_host(connection: AsyncConnection, sandbox_id: str, host_id: str | None) -> None:
    """Say where it is made, before it is: so that a host is never told to drop what it is about to hold."""
    statement = update(sandboxes).where(sandboxes.c.sandbox_id == sandbox_id)
    await connection.execute(statement.values(host_id=host_id))


async def open_on(connection: AsyncConnection, host_id: str) -> set[str]:
    """Open sandboxes that a host holds, or is making."""
    query = select(sandboxes.c.sandbox_id).where(sandboxes.c.host_id == host_id, _OPEN)
    return set((await connection.execute(query)).scalars())


async def adopt(connection: AsyncConnection, row: SandboxRow, holder: str, lease_until: datetime) -> bool:
    """Become the holder of a sandbox on a host, whose holder is gone; False when somebody else was first."""
    same = (sandboxes.c.sandbox_id == row.sandbox_id, sandboxes.c.holder == row.holder, _OPEN)
    statement = update(sandboxes).where(*same).values(holder=holder, lease_until=lease_until)
    return (await connection.execute(statement)).rowcount == 1


async def touch(connection: AsyncConnection, sandbox_id: str, now: datetime) -> None:
    """Note a use by a control plane that is not its holder."""
    await connection.execute(update(sandboxes).where(sandboxes.c.sandbox_id == sandbox_id).values(last_used_at=now))


async def set_ended(
    connection: AsyncConnection,
    sandbox_ids: Collection[str],
    now: datetime,
    reason: str,
    status: SandboxStatus = SandboxStatus.DESTROYED,
) -> int:
    """End those that have not ended; how many."""
    statement = update(sandboxes).where(sandboxes.c.sandbox_id.in_(sandbox_ids), _OPEN)
    values = {"status": status.value, "destroyed_at": now, "reason": reason}
    return (await connection.execute(statement.values(values))).rowcount


async def renew(connection: AsyncConnection, holder: str, lease_until: datetime, used: dict[str, datetime]) -> None:
    """The holder is alive; note when its sandboxes were used last."""
    await connection.execute(
        update(sandboxes).where(sandboxes.c.holder == holder, _OPEN).values(lease_until=lease_until)
    )
    for sandbox_id, last_used_at in used.items():
        mine = sandboxes.c.sandbox_id == sandbox_id
        await connection.execute(update(sandboxes).where(mine).values(last_used_at=last_used_at))


async def open_rows(connection: AsyncConnection) -> list[SandboxRow]:
    """Every sandbox that has not ended."""
    return [_read(row) for row in await connection.execute(select(sandboxes).where(_OPEN))]


async def forget(connection: AsyncConnection, destroyed_before: datetime) -> None:
    """Drop rows of sandboxes that ended long ago."""
    await connection.execute(delete(sandboxes).where(sandboxes.c.destroyed_at < destroyed_before))


def _read(row: Row[Any]) -> SandboxRow:
    return SandboxRow(
        sandbox_id=row.sandbox_id, caller=row.caller, holder=row.holder, lease_until=row.lease_until,
        status=SandboxStatus(row.status), request=SandboxCreate.model_validate(row.request),
        created_at=row.created_at, last_used_at=row.last_used_at, expires_at=row.expires_at,
        destroyed_at=row.destroyed_at, reason=row.reason, host_id=row.host_id,
    )  # fmt: skip
