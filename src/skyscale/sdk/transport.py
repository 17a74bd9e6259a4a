"""Where bytes leave the process: one exchange, repeated until it succeeds, is refused, or its time is up.

- A call is repeated only when it is repeatable and the failure is a passing one (`problems.is_passing`).
- The last failure is what is raised, as a `skyscale.errors` class; httpx exceptions never leave this file.
- Pauses grow from 50 ms to 2 s with jitter, so that the clients of a restarted server do not return all at once.
- Several addresses with commas between them are replicas of one control plane: one is used until it does not answer.
- Replies are not compressed: over loopback that costs more than it saves.
"""

import asyncio
import random
import time
from abc import ABC, abstractmethod
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from skyscale.errors import SkyscaleError, TooMany
from skyscale.sdk.call import Call
from skyscale.sdk.problems import error_of, is_passing, unreachable

T = TypeVar("T")

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
# A plain 500 is a defect of the server: worth a few attempts, not a minute of hammering.
MOST_DEFECTS = 4
# uvicorn closes idle connections after 5 s; ours are given up first, so that a request never races the closing.
KEEPALIVE_S = 4.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Patience:
    """How often one call is repeated: a deadline and growing pauses."""

    def __init__(self, retry_for_s: float) -> None:
        self._deadline = time.monotonic() + retry_for_s
        self._next_pause_s = FIRST_PAUSE_S
        self._defects = 0

    def pause_after(self, error: SkyscaleError) -> float:
        """Seconds to wait before the next attempt; raises `error` when there is to be none."""
        pause_s = self._next_pause_s * random.uniform(0.5, 1.5)
        if isinstance(error, TooMany):
            pause_s = max(pause_s, error.retry_after_s)
        self._defects += error.status == 500
        if not is_passing(error) or self._defects > MOST_DEFECTS or time.monotonic() + pause_s > self._deadline:
            raise error
        self._next_pause_s = min(LONGEST_PAUSE_S, self._next_pause_s * 2)
        return pause_s


class _Options:
    """What both transports know of the other side."""

    def __init__(self, base_url: str, token: str | None, timeout_s: float, retry_for_s: float) -> None:
        self._addresses = [address.strip().rstrip("/") for address in base_url.split(",")]
        for address in self._addresses:
            if not address.startswith(("http://", "https://")):
                raise ValueError(f"base_url must begin with http:// or https://, not {address!r}")
        self.base_url = self._addresses[0]
        self.timeout_s = timeout_s
        self.retry_for_s = retry_for_s
        self.token = token
        self.headers = {"accept": "application/json", "accept-encoding": "identity"}
        if token:
            self.headers["authorization"] = f"Bearer {token}"
        # A proxy of the environment must not see loopback traffic; elsewhere it may be the only way out.
        self.trust_env = any(urlsplit(address).hostname not in LOOPBACK for address in self._addresses)

    def move_on(self, failed: str, error: SkyscaleError) -> None:
        """Use the next address from now on, if this one could not work and nobody has moved on before."""
        if error.status == 503 and failed == self.base_url:
            self.base_url = self._addresses[(self._addresses.index(failed) + 1) % len(self._addresses)]

    def request(self, client: httpx.Client | httpx.AsyncClient, call: Call[T]) -> httpx.Request:
        headers = {"content-type": "application/json"} if call.body is not None else None
        timeout = httpx.Timeout(self.timeout_s + call.hold_s, connect=min(5.0, self.timeout_s))
        params = call.params or None
        return client.build_request(
            call.method, call.path, params=params, content=call.body, headers=headers, timeout=timeout
        )

    def patience(self, call: Call[T], retry_for_s: float | None) -> Patience:
        limit_s = self.retry_for_s if retry_for_s is None else retry_for_s
        return Patience(limit_s if call.is_repeatable else 0.0)


class Transport:
    """Sends calls and blocks until they are answered. Threads may share it."""

    def __init__(self, base_url: str, token: str | None, timeout_s: float, retry_for_s: float) -> None:
        self.options = _Options(base_url, token, timeout_s, retry_for_s)
        self.http = httpx.Client(
            base_url=self.options.base_url, headers=self.options.headers, trust_env=self.options.trust_env,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_S),
        )  # fmt: skip

    def send(self, call: Call[T], retry_for_s: float | None = None) -> T:
        """The call's reply; `retry_for_s` replaces the client's own patience for this call."""
        patience = self.options.patience(call, retry_for_s)
        while True:
            address = self.options.base_url
            try:
                content = self.exchange(call)
            except SkyscaleError as error:
                self.move_on(address, error)
                time.sleep(patience.pause_after(error))
            else:
                return call.parse(content)

    def move_on(self, failed: str, error: SkyscaleError) -> None:
        """Use the next replica from now on, if it was this address that could not work."""
        self.options.move_on(failed, error)
        self.http.base_url = self.options.base_url

    def exchange(self, call: Call[T]) -> bytes:
        """One request and its reply's body; raises the error class that the reply names."""
        try:
            response = self.http.send(self.options.request(self.http, call))
        except httpx.TransportError as error:
            raise unreachable(self.options.base_url, error) from error
        if response.status_code >= 400:
            raise error_of(response.status_code, response.headers, response.content)
        return response.content

    def close(self) -> None:
        """Close every connection."""
        self.http.close()


class AsyncSender(ABC):
    """Repeats exchanges as the call allows; how bytes travel is up to the class below it."""

    def __init__(self, base_url: str, token: str | None, timeout_s: float, retry_for_s: float) -> None:
        self.options = _Options(base_url, token, timeout_s, retry_for_s)

    async def send(self, call: Call[T], retry_for_s: float | None = None) -> T:
        """The call's reply; `retry_for_s` replaces the client's own patience for this call."""
        patience = self.options.patience(call, retry_for_s)
        while True:
            address = self.options.base_url
            try:
                content = await self.exchange(call)
            except SkyscaleError as error:
                self.move_on(address, error)
                await asyncio.sleep(patience.pause_after(error))
            else:
                return call.parse(content)

    def move_on(self, failed: str, error: SkyscaleError) -> None:
        """Use the next replica from now on, if it was this address that could not work."""
        self.options.move_on(failed, error)

    @abstractmethod
    async def exchange(self, call: Call[T]) -> bytes:
        """One request and its reply's body; raises the error class that the reply names."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection."""


class AsyncTransport(AsyncSender):
    """Sends calls without blocking; belongs to one event loop."""

    def __init__(self, base_url: str, token: str | None, timeout_s: float, retry_for_s: float) -> None:
        super().__init__(base_url, token, timeout_s, retry_for_s)
        self.http = httpx.AsyncClient(
            base_url=self.options.base_url, headers=self.options.headers, trust_env=self.options.trust_env,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_S),
        )  # fmt: skip

    def move_on(self, failed: str, error: SkyscaleError) -> None:
        """Use the next replica from now on, if it was this address that could not work."""
        super().move_on(failed, error)
        self.http.base_url = self.options.base_url

    async def exchange(self, call: Call[T]) -> bytes:
        """One request and its reply's body; raises the error class that the reply names."""
        try:
            response = await self.http.send(self.options.request(self.http, call))
        except httpx.TransportError as error:
            raise unreachable(self.options.base_url, error) from error
        if response.status_code >= 400:
            raise error_of(response.status_code, response.headers, response.content)
        return response.content

    async def close(self) -> None:
        """Close every connection."""
        await self.http.aclose()
