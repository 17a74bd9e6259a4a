"""The short way to the calls that jobs make all the time: past routing, dependency solving and exit stacks.

    Boundary -> Guard -> Direct --+-- one of `OPERATIONS`, by method and path -> its route's function
                                  `-- everything else -> FastAPI

- It is the same function that FastAPI would call, with what it would give it; the OpenAPI text knows no difference.
- Only plain ids are taken from a path. Anything else goes to FastAPI, which says what is wrong with it.
- Most of such a call's own cost was the framework's (perf/LOG.md).
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import cast

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from skyscale.api.errors import problem
from skyscale.api.services import Services
from skyscale.errors import SkyscaleError

OPERATIONS = frozenset({"tickets", "finish_group", "push", "sample", "send_job_heartbeat", "report_training_metrics"})
"""Operations of POST that read their own body and answer with a finished `Response`."""
_ID = r"([A-Za-z0-9_.-]{1,80})"
_PARAMETER = re.compile(r"\{(\w+)\}")
_GIVEN = ("request", "parts", "caller")


@dataclass(frozen=True, slots=True)
class _Way:
    """One operation and how its path looks."""

    route: APIRoute
    pattern: re.Pattern[str]
    names: tuple[str, ...]
    call: Callable[..., Awaitable[Response]]


class Direct:
    """Answers the operations it knows; the innermost layer around FastAPI's own."""

    def __init__(self, app: ASGIApp, *, routers: Sequence[APIRouter], parts: Services) -> None:
        self._app = app
        self._parts = parts
        routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
        ways = [_way(route) for route in routes if route.operation_id in OPERATIONS]
        assert len(ways) == len(OPERATIONS), "every operation that goes the short way has a route"
        self._fixed = {way.route.path: way for way in ways if not way.names}
        self._named = [way for way in ways if way.names]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        way, ids = self._find(scope)
        if way is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = way.route
        request = Request(scope, receive)
        given = dict(zip(way.names, ids, strict=True))
        try:
            response = await way.call(request=request, parts=self._parts, caller=scope["principal"], **given)
        except SkyscaleError as error:
            response = problem(error, scope["request_id"])
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[_Way | None, tuple[str, ...]]:
        if scope.get("method") != "POST":
            return None, ()
        path: str = scope["path"]
        if (fixed := self._fixed.get(path)) is not None:
            return fixed, ()
        for way in self._named:
            if (found := way.pattern.fullmatch(path)) is not None:
                return way, found.groups()
        return None, ()


def _way(route: APIRoute) -> _Way:
    names = tuple(_PARAMETER.findall(route.path))
    wanted = set(signature(route.endpoint).parameters)
    assert route.methods == {"POST"} and wanted == {*_GIVEN, *names}, f"{route.path} needs more than it would be given"
    pattern = re.compile(_ID.join(re.escape(part) for part in _PARAMETER.split(route.path)[::2]))
    return _Way(route, pattern, names, cast("Callable[..., Awaitable[Response]]", route.endpoint))
