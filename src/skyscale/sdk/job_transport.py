"""The worker's way out: the promises of `transport.py` on aiohttp, whose C parser leaves the core to the model.

On two cores with 40 groups/s, httpx took three quarters of a core in the worker (perf/LOG.md); this takes a fifth.
"""

import aiohttp

from skyscale.sdk.call import Call
from skyscale.sdk.problems import error_of, unreachable
from skyscale.sdk.transport import KEEPALIVE_S, AsyncSender, T


class JobTransport(AsyncSender):
    """Sends calls without blocking; belongs to one event loop."""

    _session: aiohttp.ClientSession | None = None

    async def exchange(self, call: Call[T]) -> bytes:
        """One request and its reply's body; raises the error class that the reply names."""
        options, session = self.options, self._opened()
        timeout = aiohttp.ClientTimeout(options.timeout_s + call.hold_s, connect=min(5.0, options.timeout_s))
        headers = {"content-type": "application/json"} if call.body is not None else None
        params = {key: str(value) for key, value in call.params.items()} or None
        try:
            async with session.request(
                call.method, options.base_url + call.path, params=params, data=call.body, headers=headers,
                timeout=timeout, allow_redirects=False,
            ) as response:  # fmt: skip
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unreachable(options.base_url, error) from error
        if response.status >= 400:
            raise error_of(response.status, response.headers, content)
        return content

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        # Made inside the loop that it belongs to, which does not run yet when the transport is made.
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S)
            self._session = aiohttp.ClientSession(
                connector=connector, headers=self.options.headers, trust_env=self.options.trust_env
            )
        return self._session
