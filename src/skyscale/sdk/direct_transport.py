"""The way out of a blocking job: the promises of `transport.py` over connections of the standard library.

A trainer makes several calls per version beside its arithmetic, and httpx takes four times the CPU of `http.client` for
each (perf/LOG.md). TLS and proxies stay with httpx, which knows their many settings.

- A connection carries one exchange at a time and is kept for the next one only after a whole reply.
- A kept one that the server has closed, or that idled for `KEEPALIVE_S`, is given up before a request is risked on it.
"""

import select
import time
from collections import deque
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies

from skyscale.sdk.call import Call
from skyscale.sdk.problems import error_of, unreachable
from skyscale.sdk.transport import KEEPALIVE_S, T, Transport

_PATH_CHARS = "/%:@!$&'()*+,;="
"""What stands for itself in a path, beside letters, digits and `-._~`."""


class DirectTransport(Transport):
    """Sends calls and blocks until they are answered. Threads may share it."""

    def __init__(self, base_url: str, token: str | None, timeout_s: float, retry_for_s: float) -> None:
        super().__init__(base_url, token, timeout_s, retry_for_s)
        self._has_proxy = self.options.trust_env and not getproxies().keys().isdisjoint(("http", "all"))
        self._idle: deque[tuple[float, str, HTTPConnection]] = deque()
        """When each was put here, and its address; the newest is last."""

    def exchange(self, call: Call[T]) -> bytes:
        """One request and its reply's body; raises the error class that the reply names."""
        address = self.options.base_url
        if self._has_proxy or not address.startswith("http://"):
            return super().exchange(call)
        connection = self._kept(address) or self._opened(address)
        try:
            self._ask(connection, address, call)
            response = connection.getresponse()
            content = response.read()
        except BaseException as error:
            connection.close()
            if isinstance(error, (OSError, HTTPException)):
                raise unreachable(address, error) from error
            raise
        self._idle.append((time.monotonic(), address, connection))
        if response.status >= 400:
            raise error_of(response.status, {k.lower(): v for k, v in response.headers.items()}, content)
        return content

    def close(self) -> None:
        """Close every connection."""
        super().close()
        while self._idle:
            self._idle.pop()[2].close()

    def _ask(self, connection: HTTPConnection, address: str, call: Call[T]) -> None:
        options = self.options
        connection.sock.settimeout(options.timeout_s + call.hold_s)
        path = urlsplit(address).path + quote(call.path, _PATH_CHARS)
        if call.params:
            texts = {
                key: str(value).lower() if isinstance(value, bool) else value for key, value in call.params.items()
            }
            path = f"{path}?{urlencode(texts)}"
        content_type = {"content-type": "application/json"} if call.body is not None else {}
        # A server, or a proxy before it, may refuse a body that it has not read: what it says is then still to be read.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(call.method, path, call.body, {**options.headers, **content_type})

    def _kept(self, address: str) -> HTTPConnection | None:
        while self._idle:
            try:
                since, kept_for, connection = self._idle.pop()
            except IndexError:  # another thread was faster
                return None
            is_fresh = kept_for == address and time.monotonic() - since < KEEPALIVE_S
            if is_fresh and connection.sock is not None and not _has_input(connection):
                return connection
            connection.close()
        return None

    def _opened(self, address: str) -> HTTPConnection:
        parts = urlsplit(address)
        connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=min(5.0, self.options.timeout_s))
        try:
            connection.connect()
        except OSError as error:
            raise unreachable(address, error) from error
        return connection


def _has_input(connection: HTTPConnection) -> bool:
    # Between exchanges nothing should come: what can be read then is the end, and a request would be lost.
    poller = select.poll()
    poller.register(connection.sock, select.POLLIN | select.POLLERR | select.POLLHUP)
    return bool(poller.poll(0))
