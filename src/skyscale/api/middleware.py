"""Around every request: its id, its size limit, its count, and the last resort for our own defects.

Plain ASGI: the reply streams through untouched, and a request costs microseconds here.
"""

import logging
import re
import secrets
from collections.abc import Mapping
from time import perf_counter

from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skyscale.api.errors import problem
from skyscale.errors import SkyscaleError, TooLarge
from skyscale.telemetry.metrics import Metrics

log = logging.getLogger(__name__)
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Boundary:
    """The outermost layer of the app."""

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, max_body_bytes: int, larger: Mapping[tuple[str, str], int]
    ) -> None:
        """`larger` are the methods and paths whose bodies are streamed and have a limit of their own."""
        self._app = app
        self._larger = larger
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        """Labelled metrics that were looked up before: routes, methods and statuses are few."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        scope["request_id"] = request_id
        reply = _Reply(send, request_id)
        started = perf_counter()
        try:
            await self._answer(scope, headers, receive, reply)
        finally:
            self._count(scope, reply, perf_counter() - started)

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, reply: "_Reply") -> None:
        try:
            limit = self._larger.get((scope["method"], scope["path"]), self._max_body_bytes)
            await self._app(scope, _limited(headers, receive, limit), reply.send)
        except ClientDisconnect:
            return  # it went away in the middle of its request: nobody is there to be answered
        except Exception as error:
            ours = error if isinstance(error, SkyscaleError) else SkyscaleError()
            if ours.status >= 500:
                log.error("request %s %s failed", reply.request_id, scope["path"], exc_info=error)
            if reply.status is not None:
                raise
            await problem(ours, reply.request_id)(scope, receive, reply.send)

    def _count(self, scope: Scope, reply: "_Reply", seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "(none)")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        key = (method, route, reply.status or 499)
        series = self._series.get(key)
        if series is None:
            requests = self._metrics.http_requests.labels(method, route, str(key[2]))
            series = self._series[key] = requests, self._metrics.http_request_duration_seconds.labels(method, route)
        series[0].inc()
        if not reply.is_stream:
            series[1].observe(seconds)


_STREAMS = (b"text/event-stream", b"application/x-ndjson")
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class _Reply:
    """Passes a reply on, adds the request's id, and remembers what became of it."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.status: int | None = None
        self.is_stream = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.setdefault("headers", [])
            self.is_stream = any(k == b"content-type" and v.startswith(_STREAMS) for k, v in headers)
            message["headers"] = [*headers, (b"x-request-id", self.request_id.encode())]
        await self._send(message)


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"")
    return given.decode() if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _limited(headers: dict[bytes, bytes], receive: Receive, limit: int) -> Receive:
    """The body's reader, which raises `TooLarge` at once when the size is announced, else when it is exceeded."""
    length = headers.get(b"content-length", b"0")
    announced = int(length) if length.isdigit() else 0
    received = 0

    async def read() -> Message:
        nonlocal received
        if announced <= limit:
            message = await receive()
            received += len(message.get("body", b""))
            if received <= limit:
                return message
        raise TooLarge(f"the body exceeds {limit} bytes")

    return read
