"""All SQL of endpoints."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.store.tables.functions import deployments
from skyscale.wire.functions import Web


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A row, read."""

    deployment_id: str
    slug: str
    app_name: str
    endpoint_name: str
    function: str
    web: Web
    created_at: datetime
    last_request_at: datetime | None = None


async def add(connection: AsyncConnection, endpoint: Endpoint) -> None:
    """A new row."""
    values = {name: getattr(endpoint, name) for name in endpoint.__slots__}
    await connection.execute(insert(deployments).values(**(values | {"web": endpoint.web.model_dump(mode="json")})))


async def change(connection: AsyncConnection, deployment_id: str, web: Web) -> None:
    """Another way to call it."""
    mine = deployments.c.deployment_id == deployment_id
    await connection.execute(update(deployments).where(mine).values(web=web.model_dump(mode="json")))


async def by_slug(connection: AsyncConnection, slug: str) -> Endpoint | None:
    """The endpoint at an address."""
    row = (await connection.execute(select(deployments).where(deployments.c.slug == slug))).first()
    return _read(row) if row is not None else None


async def get(connection: AsyncConnection, deployment_id: str) -> Endpoint | None:
    """One endpoint."""
    row = (await connection.execute(select(deployments).where(deployments.c.deployment_id == deployment_id))).first()
    return _read(row) if row is not None else None


async def page(connection: AsyncConnection, *, before: int | None, limit: int) -> list[tuple[int, Endpoint]]:
    """Endpoints with their place in the order, newest first."""
    query = select(deployments).order_by(deployments.c.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(deployments.c.seq < before)
    return [(row.seq, _read(row)) for row in await connection.execute(query)]


async def touch(connection: AsyncConnection, used: dict[str, datetime]) -> None:
    """Note when endpoints were called last."""
    for deployment_id, last_request_at in used.items():
        mine = deployments.c.deployment_id == deployment_id
        await connection.execute(update(deployments).where(mine).values(last_request_at=last_request_at))


async def remove(connection: AsyncConnection, deployment_id: str) -> None:
    """Forget one."""
    await connection.execute(delete(deployments).where(deployments.c.deployment_id == deployment_id))


def _read(row: Row[Any]) -> Endpoint:
    return Endpoint(
        deployment_id=row.deployment_id, slug=row.slug, app_name=row.app_name, endpoint_name=row.endpoint_name,
        function=row.function, web=Web.model_validate(row.web), created_at=row.created_at,
        last_request_at=row.last_request_at,
    )  # fmt: skip
