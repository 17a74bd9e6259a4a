"""Files that are too large for memory: streamed beside their place and renamed when they are whole.

A download that breaks leaves nothing behind and is not repeated by itself: its caller knows what half an hour is worth.
"""

import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx

from skyscale.sdk.call import Param
from skyscale.sdk.problems import error_of, unreachable
from skyscale.sdk.transport import AsyncTransport, Transport

# The server works between two pieces; a minute without one is a dead connection.
READ_TIMEOUT_S = 60.0


def download(transport: Transport, path: str, params: Mapping[str, Param], into: Path) -> int:
    """Write the reply's body to `into`; its size in bytes. Raises as other calls do."""
    base_url = transport.options.base_url
    try:
        with _beside(into) as file, transport.http.stream("GET", path, params=params, timeout=READ_TIMEOUT_S) as answer:
            if answer.status_code >= 400:
                raise error_of(answer.status_code, answer.headers, answer.read())
            return sum(file.write(piece) for piece in answer.iter_bytes())
    except httpx.TransportError as error:
        raise unreachable(base_url, error) from error


async def download_async(transport: AsyncTransport, path: str, params: Mapping[str, Param], into: Path) -> int:
    """The same without blocking on the network."""
    base_url = transport.options.base_url
    try:
        with _beside(into) as file:
            async with transport.http.stream("GET", path, params=params, timeout=READ_TIMEOUT_S) as answer:
                if answer.status_code >= 400:
                    raise error_of(answer.status_code, answer.headers, await answer.aread())
                return sum([file.write(piece) async for piece in answer.aiter_bytes()])
    except httpx.TransportError as error:
        raise unreachable(base_url, error) from error


@contextmanager
def _beside(into: Path) -> Generator[BinaryIO]:
    partial = into.with_name(f".{into.name}.{secrets.token_hex(4)}.part")
    try:
        with partial.open("xb") as file:
            yield file
        partial.replace(into)
    finally:
        partial.unlink(missing_ok=True)
