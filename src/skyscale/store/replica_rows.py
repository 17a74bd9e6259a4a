"""All SQL of replicas and their leader."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.store.prepared import Prepared
from skyscale.store.tables.replicas import leaders, replicas


@dataclass(frozen=True, slots=True)
class ReplicaRow:
    """A control plane."""

    replica_id: str
    url: str
    beats: int
    started_at: datetime
    beat_at: datetime | None


@dataclass(frozen=True, slots=True)
class LeaderRow:
    """Who leads; nobody does where there is no holder."""

    holder: str | None
    token: int
    beats: int
    since: datetime


async def beat(connection: AsyncConnection, replica_id: str, url: str, now: datetime) -> None:
    """A sign of life, the first one included."""
    upsert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    statement = upsert(replicas).values(replica_id=replica_id, url=url, beats=0, started_at=now)
    again = {"beats": replicas.c.beats + 1, "url": url, "beat_at": now}
    await connection.execute(statement.on_conflict_do_update(index_elements=[replicas.c.replica_id], set_=again))


async def all_of(connection: AsyncConnection) -> list[ReplicaRow]:
    """Every control plane that joined and did not leave, the oldest first."""
    names = ("replica_id", "url", "beats", "started_at", "beat_at")
    query = select(*(replicas.c[name] for name in names))
    rows = await connection.execute(query.order_by(replicas.c.started_at))
    return [ReplicaRow(*row) for row in rows]


async def url_of(connection: AsyncConnection, replica_id: str) -> str | None:
    """Where the others reach it."""
    query = select(replicas.c.url).where(replicas.c.replica_id == replica_id)
    return (await connection.execute(query)).scalar()


async def remove(connection: AsyncConnection, replica_id: str) -> None:
    """It left, or is dead."""
    await connection.execute(delete(replicas).where(replicas.c.replica_id == replica_id))


async def leader(connection: AsyncConnection, office: str, *, lock: bool = False) -> LeaderRow | None:
    """Who leads."""
    query = select(*(leaders.c[name] for name in ("holder", "token", "beats", "since")))
    query = query.where(leaders.c.office == office)
    row = (await connection.execute(query.with_for_update() if lock else query)).first()
    return LeaderRow(*row) if row is not None else None


async def beat_as_leader(connection: AsyncConnection, office: str, token: int) -> bool:
    """A leader's sign of life; False when another leads."""
    mine = (leaders.c.office == office, leaders.c.token == token)
    return (await connection.execute(update(leaders).where(*mine).values(beats=leaders.c.beats + 1))).rowcount == 1


async def succeed(
    connection: AsyncConnection, office: str, seen: LeaderRow | None, holder: str, now: datetime
) -> int | None:
    """Lead from now on, if the row is as it was seen: the token of the new term; None when somebody was quicker."""
    if seen is None:
        insert_into = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
        statement = insert_into(leaders).values(office=office, holder=holder, token=1, beats=0, since=now)
        inserted = await connection.execute(statement.on_conflict_do_nothing().returning(leaders.c.token))
        return inserted.scalar()
    same = (leaders.c.office == office, leaders.c.token == seen.token, leaders.c.beats == seen.beats)
    values = {"holder": holder, "token": seen.token + 1, "beats": 0, "since": now}
    changed = (await connection.execute(update(leaders).where(*same).values(**values))).rowcount
    return seen.token + 1 if changed == 1 else None


async def resign(connection: AsyncConnection, office: str, token: int) -> None:
    """End the term of this token, if it is the current one."""
    mine = (leaders.c.office == office, leaders.c.token == token)
    await connection.execute(update(leaders).where(*mine).values(holder=None))


_PROOF = Prepared(
    select(leaders.c.token)
    .where(leaders.c.office == bindparam("office"), leaders.c.token == bindparam("token"))
    .with_for_update(read=True)
)


async def holds(connection: AsyncConnection, office: str, token: int) -> bool:
    """Whether that term goes on; it goes on until the transaction ends."""
    return await _PROOF.first(connection, {"office": office, "token": token}) is not None


def holds_now(connection: Connection, office: str, token: int) -> bool:
    """Like `holds`, on a synchronous connection."""
    return bool(_PROOF.all_now(connection, {"office": office, "token": token}))
