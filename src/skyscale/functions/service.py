"""The registry: functions by name, versions by hash. A version never changes; deploying points the name at one.

The newest deployed is what is called unless a version is named; deploying what was there before points back to it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from skyscale.errors import NotFound
from skyscale.functions import queries, rules
from skyscale.functions.layers import Layers
from skyscale.functions.pool import Pool
from skyscale.functions.queries import FunctionRow
from skyscale.store.engine import Database
from skyscale.wire.base import utc_now
from skyscale.wire.functions import (
    FunctionDeploy,
    FunctionPage,
    FunctionSpec,
    FunctionVersions,
    FunctionView,
)

MAX_VERSIONS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Version:
    """A version, ready to be called."""

    function: str
    version: str
    spec: FunctionSpec
    layer: Path | None

    @property
    def key(self) -> str:
        """What its sandboxes are kept under."""
        return f"{self.function}@{self.version}"


class FunctionService:
    """Functions and their versions."""

    def __init__(
        self,
        database: Database,
        layers: Layers,
        pool: Pool,
        *,
        check_job: Callable[[FunctionSpec], None],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`check_job` raises Invalid for a function whose calls could not be jobs here."""
        self._database, self._layers, self._pool = database, layers, pool
        self._check_job = check_job
        self._now = now
        self._versions: dict[tuple[str, str], Version] = {}
        """Versions that have been called; they never change, and go when their function is deleted."""
        self._current: dict[str, str] = {}

    async def start(self) -> None:
        """Forget layers that no version needs any more."""
        async with self._database.read() as connection:
            needed = await queries.all_requirements(connection)
        await asyncio.to_thread(self._layers.keep_only, needed)

    async def deploy(self, request: FunctionDeploy) -> FunctionView:
        """Make this the function's current version; the same again changes nothing.

        Raises:
            Invalid, TooLarge: code, entry or requirements are refused. Unavailable: requirements cannot be had.
        """
        spec = FunctionSpec.model_validate(request.model_dump(include=set(FunctionSpec.model_fields)))
        await asyncio.to_thread(rules.check_spec, spec)
        if spec.gpu is not None:
            self._check_job(spec)
        version = rules.version_of(spec)
        await self._layer(spec)
        async with self._database.write() as connection:
            await queries.put(connection, request.name, version, spec, self._now())
        previous = self._current.pop(request.name, None)
        if previous is not None and previous != version:
            self._pool.forget(f"{request.name}@{previous}")
        return await self.get(request.name)

    async def get(self, name: str) -> FunctionView:
        """One function. Raises NotFound."""
        return self._view(await self._row(name))

    async def page(self, *, cursor: str | None, limit: int) -> FunctionPage:
        """A page of functions, by name."""
        async with self._database.read() as connection:
            rows = await queries.page(connection, after=cursor or "", limit=limit + 1)
        more = rows[limit - 1].name if len(rows) > limit else None
        return FunctionPage(functions=[self._view(row) for row in rows[:limit]], next_cursor=more)

    async def versions(self, name: str) -> FunctionVersions:
        """Versions of a function, newest first. Raises NotFound."""
        await self._row(name)
        async with self._database.read() as connection:
            return FunctionVersions(versions=await queries.versions(connection, name, MAX_VERSIONS_SHOWN))

    async def delete(self, name: str) -> None:
        """Forget a function and every version. Raises NotFound."""
        await self._row(name)
        async with self._database.write() as connection:
            await queries.remove(connection, name)
        self._current.pop(name, None)
        for key in [key for key in self._versions if key[0] == name]:
            self._pool.forget(self._versions.pop(key).key)

    async def version(self, name: str, version: str | None) -> Version:
        """A version to call, the current one by default. Raises NotFound; as `Layers.ensure` when its layer is gone."""
        wanted = version or self._current.get(name)
        if wanted is None:
            row = await self._row(name)
            wanted = self._current[name] = row.version
        known = self._versions.get((name, wanted))
        if known is not None:
            return known
        async with self._database.read() as connection:
            spec = await queries.spec_of(connection, name, wanted)
        if spec is None:
            await self._row(name)
            raise NotFound(f"function {name!r} has no version {wanted!r}", code="version_not_found")
        found = Version(name, wanted, spec, await self._layer(spec))
        self._versions[name, wanted] = found
        return found

    async def _layer(self, spec: FunctionSpec) -> Path | None:
        """Jobs install their requirements themselves: theirs may be compiled, and large."""
        return await self._layers.ensure(spec.requirements) if spec.gpu is None else None

    async def _row(self, name: str) -> FunctionRow:
        async with self._database.read() as connection:
            row = await queries.get(connection, name)
        if row is None:
            raise NotFound(
                f"there is no function {name!r}",
                code="function_not_found",
                hint="`skyscale functions list` shows them.",
            )
        return row

    def _view(self, row: FunctionRow) -> FunctionView:
        return FunctionView(
            name=row.name, version=row.version, spec=row.spec, created_at=row.created_at, updated_at=row.updated_at,
            num_warm=self._pool.num_ready(f"{row.name}@{row.version}"),
        )  # fmt: skip
