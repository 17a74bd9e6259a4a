"""Logs and events of a lease, through the Console's proxy, which checks the provider's own certificate.

A gateway keeps about the last 100 lines of the container that runs now, and nothing of a closed lease.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiohttp
from pydantic import TypeAdapter, ValidationError

from skyscale.errors import ProtocolError, Unavailable
from skyscale.jobs.providers.akash.console import AGENT, Console, LeaseId

log = logging.getLogger(__name__)

TOKEN_S = 900
OPEN_S = 15.0
READ_S = 10.0
"""For the lines that are there now."""
TAIL = 1000
OBJECT = TypeAdapter(dict[str, Any])


class Gateway:
    """Reads what containers print and what their cluster says of them."""

    def __init__(self, console: Console, proxy_url: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._proxy = proxy_url
        self._now = monotonic
        self._tokens: dict[str, tuple[str, float]] = {}
        self._hosts: dict[str, str] = {}

    async def lines(self, lease: LeaseId) -> list[str]:
        """The lines that are there now. Raises Unavailable when they cannot be had."""
        found: list[str] = []
        with suppress(TimeoutError):  # a gateway that does not end a stream: what came is what there is
            async with asyncio.timeout(READ_S):
                await self._read(lease, f"logs?follow=false&tail={TAIL}", found.append)
        return [_message(line) for line in found]

    async def follow(self, lease: LeaseId, into: list[str], opened: asyncio.Event) -> None:
        """Collect lines until the container is gone or the caller cancels; a lost stream ends it."""

        def take(line: str) -> None:
            into.append(_message(line))
            opened.set()

        try:
            await self._read(lease, f"logs?follow=true&tail={TAIL}", take)
        except (Unavailable, ProtocolError) as error:
            log.warning("the last lines of %s are lost: %s", lease.dseq, error)
        finally:
            opened.set()

    async def events(self, lease: LeaseId) -> list[str]:
        """What the cluster says of the container, as `reason: note`."""
        found: list[str] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(READ_S):
                await self._read(lease, "kubeevents?follow=false", found.append)
        events = [event for event in map(_object, found) if event]
        return [f"{event.get('reason', '')}: {event.get('note', '')}" for event in events]

    async def _read(self, lease: LeaseId, what: str, take: Callable[[str], object]) -> None:
        async with asyncio.timeout(OPEN_S):
            token, host = await self._token(lease.provider), await self._host(lease.provider)
        wanted = {
            "type": "websocket",
            "url": f"{host}/lease/{lease.dseq}/{lease.gseq}/{lease.oseq}/{what}",
            "providerAddress": lease.provider,
            "auth": {"type": "jwt", "token": token},
        }
        limits = aiohttp.ClientTimeout(total=None, sock_connect=OPEN_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=limits, headers={"user-agent": AGENT}) as session,
                session.ws_connect(self._proxy, heartbeat=30, max_msg_size=2**24) as socket,
            ):
                await socket.send_str(json.dumps(wanted))
                async for frame in socket:
                    if frame.type is not aiohttp.WSMsgType.TEXT or self._is_last(lease, frame.json(), take):
                        return
        except (aiohttp.ClientError, OSError, ValueError, TypeError, KeyError) as error:
            raise Unavailable(f"Akash's provider {lease.provider} does not show its logs: {error}") from error

    def _is_last(self, lease: LeaseId, frame: dict[str, Any], take: Callable[[str], object]) -> bool:
        if frame.get("error"):
            self._tokens.pop(lease.provider, None)
            raise Unavailable(f"Akash's provider {lease.provider} does not show its logs: {frame['error']}")
        message: Any = frame.get("message") or ""
        # Bytes are what the proxy writes as {"type": "Buffer", "data": [...]}.
        text = message if isinstance(message, str) else bytes(message["data"]).decode(errors="replace")
        for line in text.splitlines():
            if line.strip():
                take(line)
        return bool(frame.get("closed"))

    async def _token(self, provider: str) -> str:
        known = self._tokens.get(provider)
        if known is None or known[1] < self._now():
            known = (await self._console.token(provider, TOKEN_S), self._now() + TOKEN_S / 2)
            self._tokens[provider] = known
        return known[0]

    async def _host(self, provider: str) -> str:
        if provider not in self._hosts:
            self._hosts[provider] = await self._console.host(provider)
        return self._hosts[provider]


def _message(line: str) -> str:
    return str(_object(line).get("message", line))


def _object(line: str) -> dict[str, Any]:
    try:
        return OBJECT.validate_json(line)
    except ValidationError:
        return {}
