"""Endpoints: a function of its own, reached at `/proxy/{slug}{path}` by one method.

The function has the slug as its name, so that it is seen, called and logged like any other. A slug belongs to one
endpoint; another one is refused unless it says that it replaces.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from pydantic import JsonValue

from skyscale.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, SkyscaleError
from skyscale.functions import rules
from skyscale.functions.calls.service import ExecutionService
from skyscale.functions.endpoints import queries
from skyscale.functions.endpoints.queries import Endpoint
from skyscale.functions.service import FunctionService
from skyscale.sdk.slugs import slug_of
from skyscale.store.engine import Database
from skyscale.wire.base import new_id, utc_now
from skyscale.wire.functions import (
    DeploymentCreate,
    DeploymentPage,
    DeploymentView,
    ExecutionView,
    FunctionDeploy,
    FunctionSpec,
    Invoke,
)

NOTE_EVERY_S = 10.0
"""When an endpoint was called last is written down no oftener than this."""


class WrongMethod(SkyscaleError):
    """This endpoint is called by another method."""

    status, code, hint = 405, "method_not_allowed", "The endpoint's description names its method."


class EndpointService:
    """Endpoints by slug."""

    def __init__(
        self,
        database: Database,
        functions: FunctionService,
        calls: ExecutionService,
        base_url: Callable[[], str],
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database, self._functions, self._calls = database, functions, calls
        self._base_url, self._now = base_url, now
        self._noted: dict[str, datetime] = {}
        self._creating: dict[str, asyncio.Lock] = {}

    async def create(self, request: DeploymentCreate) -> DeploymentView:
        """An endpoint that can be called.

        Raises:
            Conflict: the slug is taken. And as `FunctionService.deploy`.
        """
        slug = slug_of(request.app_name, request.endpoint_name)
        if request.gpu is not None and request.web.is_public:
            raise Invalid("web.is_public: anyone could spend by calling a function that runs as a job")
        async with self._creating.setdefault(slug, asyncio.Lock()):
            return await self._create(slug, request)

    async def _create(self, slug: str, request: DeploymentCreate) -> DeploymentView:
        spec = request.model_dump(include=set(FunctionSpec.model_fields))
        wanted = FunctionDeploy(name=slug, **spec)
        known = await self._by_slug(slug)
        if known is not None and not request.replace and not await self._is_same(known, request, wanted):
            raise Conflict(
                f"the slug {slug!r} is taken by {known.app_name}/{known.endpoint_name}",
                code="slug_taken", hint="Choose another name, or send `replace: true`.",
            )  # fmt: skip
        if known is None and await self._is_function(slug):
            raise Conflict(f"the slug {slug!r} is taken by a function of that name", code="slug_taken")
        await self._functions.deploy(wanted)
        fresh = Endpoint(
            deployment_id=new_id("dp"), slug=slug, app_name=request.app_name, endpoint_name=request.endpoint_name,
            function=slug, web=request.web, created_at=self._now(),
        )  # fmt: skip
        async with self._database.write() as connection:
            now_known = await queries.by_slug(connection, slug)
            if now_known is None:
                await queries.add(connection, fresh)
            elif known is None and not request.replace:
                raise Conflict(f"the slug {slug!r} was taken a moment ago", code="slug_taken")
            else:
                await queries.change(connection, now_known.deployment_id, request.web)
        return await self.get((now_known or fresh).deployment_id)

    async def _is_same(self, known: Endpoint, request: DeploymentCreate, wanted: FunctionDeploy) -> bool:
        names = (known.app_name, known.endpoint_name, known.web)
        if names != (request.app_name, request.endpoint_name, request.web):
            return False
        spec = FunctionSpec.model_validate(wanted.model_dump(exclude={"name"}))
        return await self._is_function(known.function, rules.version_of(spec))

    async def _is_function(self, name: str, version: str | None = None) -> bool:
        try:
            return (await self._functions.get(name)).version == version or version is None
        except NotFound:
            return False

    async def get(self, deployment_id: str) -> DeploymentView:
        """One endpoint. Raises NotFound."""
        return await self._view(await self._row(deployment_id))

    async def page(self, *, cursor: str | None, limit: int) -> DeploymentPage:
        """A page of endpoints, newest first."""
        if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
            raise BadRequest("this cursor is not one of ours", hint="Use `next_cursor` of the page before.")
        async with self._database.read() as connection:
            rows = await queries.page(connection, before=int(cursor) if cursor else None, limit=limit + 1)
        more = str(rows[limit - 1][0]) if len(rows) > limit else None
        return DeploymentPage(deployments=[await self._view(row) for _, row in rows[:limit]], next_cursor=more)

    async def delete(self, deployment_id: str) -> None:
        """Take away the address and its function. Raises NotFound."""
        row = await self._row(deployment_id)
        async with self._database.write() as connection:
            await queries.remove(connection, deployment_id)
        self._noted.pop(deployment_id, None)
        if await self._is_function(row.function):
            await self._functions.delete(row.function)

    async def delete_function(self, name: str) -> None:
        """Forget a function. Raises NotFound, Conflict while an endpoint calls it."""
        endpoint = await self._by_slug(name)
        if endpoint is not None:
            raise Conflict(
                f"{name!r} is called by an endpoint", code="function_in_use",
                hint=f"Delete the endpoint: DELETE /api/deployments/{endpoint.deployment_id}.",
            )  # fmt: skip
        await self._functions.delete(name)

    async def find(self, slug: str, path: str, method: str) -> Endpoint:
        """What is reached there. Raises NotFound, WrongMethod."""
        endpoint = await self._by_slug(slug)
        if endpoint is None:
            raise NotFound(f"there is no endpoint {slug!r}", code="endpoint_not_found")
        if path.rstrip("/") != endpoint.web.path.rstrip("/"):
            raise NotFound(f"endpoint {slug!r} has no path {path!r}", code="endpoint_path_not_found")
        if method != endpoint.web.method:
            raise WrongMethod(f"endpoint {slug!r} is called by {endpoint.web.method}, not {method}")
        return endpoint

    async def call(self, endpoint: Endpoint, body: JsonValue, query: Mapping[str, str]) -> ExecutionView:
        """Call it with the query (GET, DELETE) or the JSON body. Raises Invalid for a body that is no object."""
        version = await self._functions.version(endpoint.function, None)
        if version.spec.gpu is not None and endpoint.web.is_public:
            raise Forbidden("this endpoint is public, and its function runs as a job that may cost money")
        given: JsonValue = body
        if version.spec.style == "arguments":
            kwargs = _arguments(endpoint, body, query)
            given = {"args": [], "kwargs": kwargs}
        elif endpoint.web.method in {"GET", "DELETE"}:
            given = dict(query)
        await self._note(endpoint)
        return await self._calls.invoke(endpoint.function, Invoke(input=given))

    async def _note(self, endpoint: Endpoint) -> None:
        now, before = self._now(), self._noted.get(endpoint.deployment_id)
        if before is None or (now - before).total_seconds() >= NOTE_EVERY_S:
            self._noted[endpoint.deployment_id] = now
            async with self._database.write() as connection:
                await queries.touch(connection, {endpoint.deployment_id: now})

    async def _by_slug(self, slug: str) -> Endpoint | None:
        async with self._database.read() as connection:
            return await queries.by_slug(connection, slug)

    async def _row(self, deployment_id: str) -> Endpoint:
        async with self._database.read() as connection:
            row = await queries.get(connection, deployment_id)
        if row is None:
            raise NotFound(f"there is no deployment {deployment_id!r}", code="deployment_not_found")
        return row

    async def _view(self, row: Endpoint) -> DeploymentView:
        version = await self._functions.version(row.function, None)
        return DeploymentView(
            id=row.deployment_id, slug=row.slug, app_name=row.app_name, endpoint_name=row.endpoint_name,
            function=row.function, version=version.version, is_public=row.web.is_public,
            url=f"{self._base_url().rstrip('/')}/proxy/{row.slug}{row.web.path}", web_method=row.web.method,
            web_path=row.web.path, scaledown_window=version.spec.scaledown_window, created_at=row.created_at,
            last_request_at=row.last_request_at,
        )  # fmt: skip


def _arguments(endpoint: Endpoint, body: JsonValue, query: Mapping[str, str]) -> dict[str, JsonValue]:
    if endpoint.web.method in {"GET", "DELETE"}:
        return dict(query)
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise Invalid("body: must be a JSON object; its members are the function's arguments")
    return body
