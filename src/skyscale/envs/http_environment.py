"""An environment that is a service of the user's: three POSTs with JSON bodies (docs/environments.md).

- Only origins that the operator allowed are called; redirects are not followed; replies are read up to a limit.
- `reset` and `close` carry the episode's id and are repeated; `step` is repeated only when no connection was made, so
  the service sees every action at most once.
"""

import asyncio
import contextlib
from typing import Any
from urllib.parse import urlsplit

import httpx

from skyscale.envs.claims import MAX_OPENING_CHARS, json_object, opening_of, stepped_of
from skyscale.envs.environment import Stepped, Task
from skyscale.errors import EnvironmentFailure
from skyscale.wire.environments import HttpEnvironment

MAX_REPLY_BYTES = 4 * MAX_OPENING_CHARS
ATTEMPTS = 3
FIRST_PAUSE_S = 0.2
CLOSE_TIMEOUT_S = 2.0


def origin_of(url: str) -> str:
    """Scheme, host and port, in lower case and with the port always there."""
    parts = urlsplit(url.lower())
    return f"{parts.scheme}://{parts.hostname}:{parts.port or {'http': 80, 'https': 443}.get(parts.scheme, 0)}"


class HttpSession:
    """See `environment.Session`."""

    def __init__(self, client: httpx.AsyncClient, environment: HttpEnvironment, group_id: str) -> None:
        self._client = client
        self._url = environment.url
        self._timeout_s = environment.step_timeout_s
        self._group_id = group_id
        self._num_episodes = 0
        self._num_steps: dict[int, int] = {}

    async def reset(self, task: Task, num_episodes: int) -> list[dict[str, str]]:
        """Begin the episodes; all of them must begin alike."""
        self._num_episodes = num_episodes
        calls = (
            self._post("reset", {"episode_id": self._id(index), "task": task}, is_repeatable=True)
            for index in range(num_episodes)
        )
        openings = [opening_of(body) for body in await asyncio.gather(*calls)]
        if any(opening != openings[0] for opening in openings):
            raise EnvironmentFailure("reset must begin all episodes of a task alike: draw what differs from task.seed")
        return openings[0]

    async def step(self, actions: list[tuple[int, str]]) -> list[Stepped]:
        """One step of each of these episodes, at the same time."""
        return list(await asyncio.gather(*(self._step(index, action) for index, action in actions)))

    async def _step(self, index: int, action: str) -> Stepped:
        number = self._num_steps.get(index, 0)
        self._num_steps[index] = number + 1
        body: dict[str, object] = {"episode_id": self._id(index), "step": number, "action": action}
        try:
            return stepped_of(await self._post("step", body, is_repeatable=False))
        except EnvironmentFailure as failure:
            return Stepped(trouble=failure.detail)

    async def close(self) -> None:
        """Tell the service that the episodes have ended; whether it hears it is its own affair."""
        count, self._num_episodes = self._num_episodes, 0
        calls = (self._post("close", {"episode_id": self._id(i)}, is_repeatable=False) for i in range(count))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await asyncio.gather(*calls, return_exceptions=True)

    def _id(self, index: int) -> str:
        return f"{self._group_id}.{index}"

    async def _post(self, operation: str, body: dict[str, object], *, is_repeatable: bool) -> dict[str, Any]:
        pause_s = FIRST_PAUSE_S
        for attempt in range(ATTEMPTS):
            try:
                return await self._exchange(operation, body)
            except (httpx.HTTPError, TimeoutError) as error:
                never_arrived = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if attempt == ATTEMPTS - 1 or not (is_repeatable or never_arrived):
                    reason = str(error) or type(error).__name__
                    raise EnvironmentFailure(f"{self._url}/{operation} does not answer: {reason}"[:400]) from error
            await asyncio.sleep(pause_s)
            pause_s *= 2
        raise AssertionError("the last attempt returns or raises")

    async def _exchange(self, operation: str, body: dict[str, object]) -> dict[str, Any]:
        content = bytearray()
        url = f"{self._url}/{operation}"
        async with (
            asyncio.timeout(self._timeout_s),
            self._client.stream("POST", url, json=body, timeout=self._timeout_s) as response,
        ):
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > MAX_REPLY_BYTES:
                    raise EnvironmentFailure(f"{url} answered more than {MAX_REPLY_BYTES} bytes")
            status = response.status_code
        if status >= 500:
            raise httpx.HTTPStatusError(f"status {status}", request=response.request, response=response)
        if status != 200:
            said = bytes(content[:200]).decode("utf-8", "replace")
            raise EnvironmentFailure(f"{url} answered {status}: {said}")
        return json_object(bytes(content))
