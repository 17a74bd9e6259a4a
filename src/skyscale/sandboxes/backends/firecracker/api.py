"""Firecracker's API over its unix socket: requests as its description (1.17) has them."""

from pathlib import Path
from typing import Any

import httpx

from skyscale.errors import SandboxFailure

_TIMEOUT_S = 30.0


class Api:
    """One Firecracker process's API."""

    def __init__(self, socket: Path) -> None:
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)), base_url="http://localhost", timeout=_TIMEOUT_S
        )

    async def put(self, path: str, **body: object) -> None:
        """PUT.

        Raises:
            SandboxFailure: Firecracker refuses it, with its own words, or does not answer.
        """
        await self._request("PUT", path, body)

    async def patch(self, path: str, **body: object) -> None:
        """PATCH; raises as `put`."""
        await self._request("PATCH", path, body)

    async def _request(self, method: str, path: str, body: dict[str, Any]) -> None:
        try:
            reply = await self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise SandboxFailure(f"Firecracker does not answer {method} {path}: {error!r}") from error
        if reply.status_code >= 300:
            raise SandboxFailure(f"Firecracker refuses {method} {path}: {reply.text[:300]}")

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.aclose()
