"""All SQL of uploaded problem sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.store.tables.problem_sets import problem_set_versions as versions
from skyscale.store.tables.runs import runs
from skyscale.wire.problem_sets import ProblemCounts, ProblemSetVersion
from skyscale.wire.runs import RunStatus

_ENDED = [RunStatus.STOPPED.value, RunStatus.COMPLETED.value, RunStatus.FAILED.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """A row, read."""

    name: str
    version: str
    content_hash: str
    is_ready: bool
    size_bytes: int
    counts: dict[str, Any]
    notes: list[str]
    solutions_checked: int
    created_at: datetime
    uploaded_at: datetime

    @property
    def ref(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    def view(self) -> ProblemSetVersion:
        """As the wire shows it."""
        return ProblemSetVersion(
            ref=self.ref, name=self.name, version=self.version, content_hash=self.content_hash,
            size_bytes=self.size_bytes, counts=ProblemCounts.model_validate(self.counts), notes=self.notes,
            solutions_checked=self.solutions_checked, created_at=self.created_at,
        )  # fmt: skip


_COLUMNS = [versions.c[name] for name in VersionRow.__slots__]
_NEWEST_FIRST = (versions.c.uploaded_at.desc(), versions.c.seq.desc())


def _read(row: Row[Any]) -> VersionRow:
    return VersionRow(**dict(row._mapping))  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's public accessor


async def insert_version(connection: AsyncConnection, row: VersionRow) -> bool:
    """A new row; False when that version is there already."""
    values = {name: getattr(row, name) for name in row.__slots__}
    insert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    statement = insert(versions).values(**values).on_conflict_do_nothing().returning(versions.c.seq)
    return (await connection.execute(statement)).first() is not None


async def update_version(connection: AsyncConnection, name: str, version: str, **values: object) -> bool:
    """Set columns; False when there is no such row."""
    mine = and_(versions.c.name == name, versions.c.version == version)
    return (await connection.execute(update(versions).where(mine).values(**values))).rowcount == 1


async def version(connection: AsyncConnection, name: str, version: str) -> VersionRow | None:
    """One row, ready or not."""
    row = (
        await connection.execute(select(*_COLUMNS).where(versions.c.name == name, versions.c.version == version))
    ).first()
    return None if row is None else _read(row)


async def versions_of(connection: AsyncConnection, name: str, *, lock: bool = False) -> list[VersionRow]:
    """The ready versions of a set, the current one first; with `lock` nobody begins to use or removes them."""
    statement = select(*_COLUMNS).where(versions.c.name == name, versions.c.is_ready).order_by(*_NEWEST_FIRST)
    rows = await connection.execute(statement.with_for_update() if lock else statement)
    return [_read(row) for row in rows]


async def hold_version(connection: AsyncConnection, name: str, version: str) -> bool:
    """Whether it is there, and stays until the transaction ends."""
    statement = select(versions.c.seq).where(
        versions.c.name == name, versions.c.version == version, versions.c.is_ready
    )
    return (await connection.execute(statement.with_for_update(read=True))).first() is not None


async def all_versions(connection: AsyncConnection) -> list[VersionRow]:
    """Every ready version, by name, the current one of each first."""
    statement = select(*_COLUMNS).where(versions.c.is_ready).order_by(versions.c.name, *_NEWEST_FIRST)
    return [_read(row) for row in await connection.execute(statement)]


async def unready_before(connection: AsyncConnection, time: datetime) -> list[VersionRow]:
    """Rows whose files were never finished."""
    statement = select(*_COLUMNS).where(~versions.c.is_ready, versions.c.uploaded_at < time)
    return [_read(row) for row in await connection.execute(statement)]


async def delete_versions(connection: AsyncConnection, name: str, which: Sequence[str]) -> None:
    """Remove rows."""
    await connection.execute(delete(versions).where(versions.c.name == name, versions.c.version.in_(which)))


async def total_bytes(connection: AsyncConnection) -> int:
    """Of all versions together."""
    return int((await connection.execute(select(func.sum(versions.c.size_bytes)))).scalar() or 0)


async def live_runs_of(connection: AsyncConnection, refs: Sequence[str]) -> list[str]:
    """Runs that have not ended and play one of these versions."""
    plays = runs.c.spec["problem_set"].as_string()
    statement = select(runs.c.run_id).where(runs.c.status.not_in(_ENDED), plays.in_(refs)).order_by(runs.c.run_id)
    return list((await connection.execute(statement)).scalars())
