"""Interactive sandboxes of a control plane: `client.sandboxes`, blocking and not, with the same methods.

`skyscale.Sandbox` is one of them as a context manager, with output as it comes.
"""

from skyscale.sdk import sandbox_calls as calls
from skyscale.sdk.transport import AsyncTransport, Transport
from skyscale.wire.hosts import HostList
from skyscale.wire.sandboxes import (
    ExecReply,
    ExecRequest,
    SandboxCreate,
    SandboxFiles,
    SandboxFileWritten,
    SandboxPage,
    SandboxView,
)


class Sandboxes:
    """Blocking calls; threads may share it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, body: SandboxCreate) -> SandboxView:
        """A ready sandbox; TooMany when a quota is reached."""
        return self._transport.send(calls.create(body))

    def list(self, is_open: bool | None = None, cursor: str | None = None, limit: int | None = None) -> SandboxPage:
        """A page of sandboxes, newest first."""
        return self._transport.send(calls.listing(is_open, cursor, limit))

    def get(self, sandbox_id: str) -> SandboxView:
        """One sandbox, destroyed ones included."""
        return self._transport.send(calls.show(sandbox_id))

    def run(self, sandbox_id: str, body: ExecRequest) -> ExecReply:
        """Run a program to its end; an exit code other than 0 is no exception."""
        return self._transport.send(calls.run(sandbox_id, body))

    def write(self, sandbox_id: str, path: str, content: bytes) -> SandboxFileWritten:
        """Put a file at this relative path, making its directories."""
        return self._transport.send(calls.write_file(sandbox_id, path, content))

    def read(self, sandbox_id: str, path: str) -> bytes:
        """The file at this relative path."""
        return self._transport.send(calls.read_file(sandbox_id, path))

    def files(self, sandbox_id: str, path: str = "") -> SandboxFiles:
        """The directory at this relative path, by name; at most 1000 names."""
        return self._transport.send(calls.list_files(sandbox_id, path))

    def destroy(self, sandbox_id: str) -> None:
        """End it and forget its files; again changes nothing."""
        self._transport.send(calls.destroy(sandbox_id))

    def hosts(self) -> HostList:
        """Sandbox hosts, and how they are."""
        return self._transport.send(calls.hosts())


class AsyncSandboxes:
    """The same calls without blocking."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(self, body: SandboxCreate) -> SandboxView:
        """A ready sandbox; TooMany when a quota is reached."""
        return await self._transport.send(calls.create(body))

    async def list(
        self, is_open: bool | None = None, cursor: str | None = None, limit: int | None = None
    ) -> SandboxPage:
        """A page of sandboxes, newest first."""
        return await self._transport.send(calls.listing(is_open, cursor, limit))

    async def get(self, sandbox_id: str) -> SandboxView:
        """One sandbox, destroyed ones included."""
        return await self._transport.send(calls.show(sandbox_id))

    async def run(self, sandbox_id: str, body: ExecRequest) -> ExecReply:
        """Run a program to its end; an exit code other than 0 is no exception."""
        return await self._transport.send(calls.run(sandbox_id, body))

    async def write(self, sandbox_id: str, path: str, content: bytes) -> SandboxFileWritten:
        """Put a file at this relative path, making its directories."""
        return await self._transport.send(calls.write_file(sandbox_id, path, content))

    async def read(self, sandbox_id: str, path: str) -> bytes:
        """The file at this relative path."""
        return await self._transport.send(calls.read_file(sandbox_id, path))

    async def files(self, sandbox_id: str, path: str = "") -> SandboxFiles:
        """The directory at this relative path, by name; at most 1000 names."""
        return await self._transport.send(calls.list_files(sandbox_id, path))

    async def destroy(self, sandbox_id: str) -> None:
        """End it and forget its files; again changes nothing."""
        await self._transport.send(calls.destroy(sandbox_id))

    async def hosts(self) -> HostList:
        """Sandbox hosts, and how they are."""
        return await self._transport.send(calls.hosts())
