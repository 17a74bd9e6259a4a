"""One host over HTTP: judge, make, run, move files. Belongs to one event loop.

Failures are classes of `skyscale.errors`: what the host says of itself, or Unavailable when it does not answer. Nothing
is repeated here; whoever calls knows whether another host may be asked. No proxies and no redirects: the address was
registered, and only that is called.
"""

from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from skyscale.errors import ProtocolError, SkyscaleError
from skyscale.sdk.call import reading, to_json
from skyscale.sdk.problems import error_of, unreachable
from skyscale.wire.episodes import Verdict
from skyscale.wire.hosts import HostHealth, JudgeReply, JudgeRequest
from skyscale.wire.problems import Problem
from skyscale.wire.sandboxes import ExecEvent, ExecRequest, SandboxCreate, SandboxFiles

CONNECT_S = 3.0
KEEPALIVE_S = 60.0
"""Hosts close idle connections after 75 s."""
CALL_S = 40.0
"""Making a sandbox has 15 s there; moving a file of 32 MiB takes a moment on a slow line."""
_JSON = {"content-type": "application/json"}
_BYTES = {"content-type": "application/octet-stream"}
_MAX_LINE = 64 * 1024 * 1024


class HostClient:
    """Calls of one host."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self._headers = {"accept-encoding": "identity", **({"authorization": f"Bearer {token}"} if token else {})}
        self._session: aiohttp.ClientSession | None = None

    async def judge(self, problem: Problem, codes: list[str], timeout_s: float) -> list[Verdict]:
        """Verdicts in the order of the programs."""
        body = to_json(JudgeRequest(problem=problem, codes=codes))
        reply = reading(JudgeReply)(await self._call("POST", "/judge", body, _JSON, timeout_s))
        if len(reply.verdicts) != len(codes):
            raise ProtocolError(f"{len(reply.verdicts)} verdicts came for {len(codes)} programs")
        return reply.verdicts

    async def answers_as(self, host_id: str) -> bool:
        """Whether the process of this id answers, now."""
        try:
            content = await self._call("GET", "/health", timeout_s=CONNECT_S)
        except SkyscaleError:
            return False
        return reading(HostHealth)(content).host_id == host_id

    async def create(self, body: SandboxCreate) -> None:
        """Make an interactive sandbox, which must have an id."""
        await self._call("POST", "/sandboxes", to_json(body), _JSON)

    async def run(self, sandbox_id: str, body: ExecRequest) -> AsyncGenerator[ExecEvent]:
        """A program's events as they come; closing the generator ends the program."""
        parse = reading(ExecEvent)
        path = f"/sandboxes/{quote(sandbox_id, safe='')}/exec"
        # Silence for as long as the program may run is no sign of trouble; a lost host is noticed by its reports.
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=body.timeout_seconds + CALL_S)
        try:
            async with self._request("POST", path, to_json(body), _JSON, timeout) as response:
                await _raise_for(response)
                async for line in _lines(response.content):
                    yield parse(line)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unreachable(self.url, error) from error

    async def write_file(self, sandbox_id: str, path: str, content: bytes) -> None:
        """Replace a file."""
        await self._call("PUT", _file(sandbox_id, path), content, _BYTES)

    async def read_file(self, sandbox_id: str, path: str) -> bytes:
        """A file's bytes."""
        return await self._call("GET", _file(sandbox_id, path))

    async def list_files(self, sandbox_id: str, path: str) -> SandboxFiles:
        """A directory."""
        target = f"/sandboxes/{quote(sandbox_id, safe='')}/files?path={quote(path, safe='')}"
        return reading(SandboxFiles)(await self._call("GET", target))

    async def destroy(self, sandbox_id: str) -> None:
        """End an interactive sandbox; again changes nothing."""
        await self._call("DELETE", f"/sandboxes/{quote(sandbox_id, safe='')}")

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _call(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None,
        timeout_s: float = CALL_S,
    ) -> bytes:  # fmt: skip
        timeout = aiohttp.ClientTimeout(total=timeout_s, connect=CONNECT_S)
        try:
            async with self._request(method, path, body, headers, timeout) as response:
                await _raise_for(response)
                return await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unreachable(self.url, error) from error

    def _request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str] | None, timeout: aiohttp.ClientTimeout
    ) -> Any:
        if self._session is None:  # made inside the loop that it belongs to
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S)
            self._session = aiohttp.ClientSession(connector=connector, headers=self._headers, trust_env=False)
        # Already quoted: the host is to see the path that was asked for.
        target = URL(self.url + path, encoded=True)
        return self._session.request(method, target, data=body, headers=headers, timeout=timeout, allow_redirects=False)


async def _raise_for(response: aiohttp.ClientResponse) -> None:
    if response.status >= 400:
        raise error_of(response.status, response.headers, await response.read())
    if response.status >= 300:
        raise ProtocolError(f"the host answered {response.status}")


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes]:
    """Lines of any length up to `_MAX_LINE`."""
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
        if len(rest) > _MAX_LINE:
            raise ProtocolError("a line of the stream is too long")
    if rest:
        yield rest


def _file(sandbox_id: str, path: str) -> str:
    names = [quote(name, safe="") for name in path.split("/")]
    plain = "/".join(name.replace(".", "%2E") if name in {".", ".."} else name for name in names)
    return f"/sandboxes/{quote(sandbox_id, safe='')}/files/{plain}"
