"""Requests to a workspace's first process, and its replies, over a socket of whole messages.

- What comes back is not trusted more than it must be: it is small, and anything but an expected reply breaks the
  workspace.
- A broken channel fails every request in flight with SandboxFailure.
"""

import asyncio
import itertools
import json
import socket
from collections.abc import Callable
from typing import Any, cast

from skyscale.errors import SandboxFailure

_MAX_MESSAGE = 65536
Message = dict[str, Any]


class Channel:
    """The control plane's end."""

    def __init__(self, on_broken: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setblocking(False)
        self.child_end = theirs.detach()
        self.ready: asyncio.Future[dict[str, str]] = self._loop.create_future()
        """The layers that are in force, once they are."""
        self.broken: str | None = None
        self._on_broken = on_broken
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._count = itertools.count(1)
        self._loop.add_reader(self._ours.fileno(), self._on_readable)

    def send(self, message: Message, descriptors: list[int] | None = None) -> None:
        """Send without waiting for a reply. Raises SandboxFailure."""
        if self.broken is not None:
            raise SandboxFailure(f"the sandbox broke: {self.broken}")
        try:
            socket.send_fds(self._ours, [json.dumps(message).encode()], descriptors or [])
        except OSError as error:
            self.close(f"it takes no request: {error}")
            raise SandboxFailure(f"the sandbox broke: {error}") from error

    def request(self, message: Message, descriptors: list[int]) -> asyncio.Future[Message]:
        """Send, and the reply to come. Raises SandboxFailure."""
        request_id = f"{next(self._count):08d}"
        self.send(message | {"id": request_id}, descriptors)
        future: asyncio.Future[Message] = self._loop.create_future()
        self._waiting[request_id] = future
        return future

    def close(self, reason: str) -> None:
        """Let go; whoever waits is told the reason. Safe to call twice."""
        if self.broken is not None:
            return
        self.broken = reason
        self._loop.remove_reader(self._ours.fileno())
        self._ours.close()
        for future in (*self._waiting.values(), self.ready):
            if not future.done():
                future.set_exception(SandboxFailure(f"the sandbox broke: {reason}"))
                future.exception()  # nobody may be waiting any more, which is no fault
        self._waiting.clear()
        self._on_broken(reason)

    def _on_readable(self) -> None:
        try:
            data = self._ours.recv(_MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError as error:
            data = b""
            self.close(str(error))
        if self.broken is not None:
            return
        try:
            message = _object(json.loads(data)) if data else {"broken": "its first process ended"}
        except ValueError:
            message = {"broken": "it does not speak the protocol"}
        if "broken" in message:
            self.close(str(message["broken"])[:300])
        elif "ready" in message and not self.ready.done():
            self.ready.set_result({str(k): str(v) for k, v in _object(message["ready"]).items()})
        elif (future := self._waiting.pop(str(message.get("id")), None)) is not None and not future.done():
            future.set_result(message)


def _object(value: object) -> Message:
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return cast("Message", value)
