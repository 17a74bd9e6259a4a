"""All SQL of API keys."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.store.tables.keys import api_keys
from skyscale.wire.keys import ApiKeyView, Scope


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A row, read."""

    seq: int
    digest: str
    view: ApiKeyView


async def insert_key(connection: AsyncConnection, digest: str, view: ApiKeyView) -> None:
    """Write a new key."""
    values = view.model_dump() | {"scope": view.scope.value, "digest": digest}
    await connection.execute(insert(api_keys).values(**values))


async def by_digest(connection: AsyncConnection, digest: str) -> KeyRow | None:
    """The key whose secret has this SHA-256."""
    row = (await connection.execute(select(api_keys).where(api_keys.c.digest == digest))).first()
    return None if row is None else _read(row)


async def by_id(connection: AsyncConnection, key_id: str) -> KeyRow | None:
    """One key."""
    row = (await connection.execute(select(api_keys).where(api_keys.c.key_id == key_id))).first()
    return None if row is None else _read(row)


async def page(connection: AsyncConnection, owner: str | None, before: int | None, limit: int) -> list[KeyRow]:
    """Keys of one owner or of all, newest first."""
    statement = select(api_keys).order_by(api_keys.c.seq.desc()).limit(limit)
    if owner is not None:
        statement = statement.where(api_keys.c.owner == owner)
    if before is not None:
        statement = statement.where(api_keys.c.seq < before)
    return [_read(row) for row in await connection.execute(statement)]


async def set_revoked(connection: AsyncConnection, key_id: str, now: datetime) -> None:
    """End a key; the first time counts."""
    statement = update(api_keys).where(api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
    await connection.execute(statement.values(revoked_at=now))


async def set_used(connection: AsyncConnection, key_id: str, now: datetime) -> None:
    """Note when a key was used last."""
    await connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(last_used_at=now))


def _read(row: Row[Any]) -> KeyRow:
    view = ApiKeyView(
        key_id=row.key_id, name=row.name, scope=Scope(row.scope), start=row.start, owner=row.owner,
        created_at=row.created_at, expires_at=row.expires_at, last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )  # fmt: skip
    return KeyRow(row.seq, row.digest, view)
