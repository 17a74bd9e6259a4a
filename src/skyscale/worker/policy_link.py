"""The way to the policy server, whose address may change at any moment.

Heartbeats bring the address; a generation that fails is asked again, at the address of that moment, until its
ticket has expired. A refusal (4xx) is raised at once: it would be refused again.
"""

import asyncio
import time
from typing import TypeVar

from skyscale.errors import SkyscaleError, Unavailable
from skyscale.sdk.call import Call
from skyscale.sdk.job_transport import JobTransport
from skyscale.sdk.transport import Patience

T = TypeVar("T")


class PolicyLink:
    """Sends calls to the run's policy server, wherever it is now."""

    def __init__(self) -> None:
        self._url: str | None = None
        self._transport: JobTransport | None = None
        self._retired: list[JobTransport] = []
        self._changed = asyncio.Event()

    @property
    def is_known(self) -> bool:
        """Whether there is an address to send to."""
        return self._transport is not None

    def move_to(self, url: str | None) -> None:
        """Send to `url` from now on; None keeps the old address, which may come back."""
        if url is None or url == self._url:
            return
        if self._transport is not None:
            self._retired.append(self._transport)  # calls in flight still use it
        self._url, self._transport = url, JobTransport(url, None, timeout_s=600.0, retry_for_s=0.0)
        self._changed.set()
        self._changed = asyncio.Event()

    async def send(self, call: Call[T], deadline: float) -> T:
        """The call's reply. Raises the last failure when `deadline` (monotonic seconds) has passed."""
        patience = Patience(deadline - time.monotonic())
        while True:
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    return await self._exchange(call)
            except TimeoutError as error:
                raise Unavailable("the policy server did not answer before the ticket expired") from error
            except SkyscaleError as error:
                await self._pause(patience.pause_after(error))

    async def _exchange(self, call: Call[T]) -> T:
        if self._transport is None:
            raise Unavailable("no policy server is registered", code="no_policy")
        return await self._transport.send(call)

    async def _pause(self, pause_s: float) -> None:
        # A new address ends the pause: the reason for waiting is gone.
        try:
            async with asyncio.timeout(pause_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Close every connection, those to former addresses included."""
        for transport in [*self._retired, self._transport]:
            if transport is not None:
                await transport.close()
