"""All SQL of functions and their versions."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.store.tables.functions import function_versions, functions
from skyscale.wire.functions import FunctionSpec, FunctionVersion

_WITH_SPEC = select(functions, function_versions.c.spec).join(
    function_versions,
    (function_versions.c.function == functions.c.name) & (function_versions.c.version == functions.c.version),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionRow:
    """A function with its current version."""

    name: str
    version: str
    spec: FunctionSpec
    created_at: datetime
    updated_at: datetime


async def get(connection: AsyncConnection, name: str) -> FunctionRow | None:
    """One function."""
    row = (await connection.execute(_WITH_SPEC.where(functions.c.name == name))).first()
    return _read(row) if row is not None else None


async def page(connection: AsyncConnection, *, after: str, limit: int) -> list[FunctionRow]:
    """Functions by name, beginning after one."""
    query = _WITH_SPEC.where(functions.c.name > after).order_by(functions.c.name).limit(limit)
    return [_read(row) for row in await connection.execute(query)]


async def spec_of(connection: AsyncConnection, name: str, version: str) -> FunctionSpec | None:
    """What a version is, current or not."""
    spec = await connection.scalar(_version(name, version))
    return FunctionSpec.model_validate(spec) if spec is not None else None


async def put(connection: AsyncConnection, name: str, version: str, spec: FunctionSpec, now: datetime) -> None:
    """Make this version the function's current one; both may be new."""
    if await connection.scalar(_version(name, version)) is None:
        values = {"function": name, "version": version, "spec": spec.model_dump(mode="json"), "created_at": now}
        await connection.execute(insert(function_versions).values(**values))
    current = await connection.scalar(select(functions.c.version).where(functions.c.name == name))
    if current is None:
        await connection.execute(insert(functions).values(name=name, version=version, created_at=now, updated_at=now))
    elif current != version:
        changed = update(functions).where(functions.c.name == name).values(version=version, updated_at=now)
        await connection.execute(changed)


async def versions(connection: AsyncConnection, name: str, limit: int) -> list[FunctionVersion]:
    """Versions of a function, newest first."""
    columns = function_versions.c
    query = select(columns.version, columns.created_at).where(columns.function == name)
    rows = await connection.execute(query.order_by(columns.seq.desc()).limit(limit))
    return [FunctionVersion(version=row.version, created_at=row.created_at) for row in rows]


async def all_requirements(connection: AsyncConnection) -> list[list[str]]:
    """What each version needs."""
    rows = await connection.execute(select(function_versions.c.spec["requirements"]))
    return [row[0] for row in rows if row[0]]


async def remove(connection: AsyncConnection, name: str) -> None:
    """Forget a function and its versions; what came of its calls stays."""
    await connection.execute(delete(functions).where(functions.c.name == name))
    await connection.execute(delete(function_versions).where(function_versions.c.function == name))


def _version(name: str, version: str) -> Any:
    columns = function_versions.c
    return select(columns.spec).where(columns.function == name, columns.version == version)


def _read(row: Row[Any]) -> FunctionRow:
    return FunctionRow(
        name=row.name, version=row.version, spec=FunctionSpec.model_validate(row.spec),
        created_at=row.created_at, updated_at=row.updated_at,
    )  # fmt: skip
