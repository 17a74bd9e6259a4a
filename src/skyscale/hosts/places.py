"""Interactive sandboxes on hosts: where to make one, and a workspace that is used from afar.

A `RemoteWorkspace` keeps the contract of `sandboxes.workspace`, but for refusals of paths: those come as the errors
that the host's own files service raised, with code and hint.
"""

import contextlib
from collections.abc import AsyncGenerator, Awaitable
from typing import TypeVar, cast

from skyscale.errors import NotFound, SandboxFailure, SkyscaleError, Unavailable
from skyscale.hosts import rules
from skyscale.hosts.host import Host
from skyscale.hosts.service import HostService
from skyscale.sandboxes.workspace import (
    Command,
    CommandResult,
    CommandStatus,
    FileEntry,
    OutputSink,
    Workspace,
)
from skyscale.wire.sandboxes import ExecEvent, ExecRequest, SandboxCreate

T = TypeVar("T")


class HostPlaces:
    """Where sandboxes can be made besides this process."""

    def __init__(self, hosts: HostService) -> None:
        self._hosts = hosts

    def backends(self) -> set[str]:
        """Backends of interactive sandboxes that any host in use has."""
        return {name for host in self._hosts.usable() for name in host.report.workspaces}

    def room(self) -> int:
        """How many sandboxes the hosts in use may hold altogether."""
        return sum(host.report.max_sandboxes for host in self._hosts.hosts)

    def order(self, backend: str) -> list[str]:
        """Hosts that can make one now, the one with the most room first."""
        able = [host for host in self._hosts.usable() if backend in host.report.workspaces]
        return [host.host_id for host in cast("list[Host]", rules.by_room(able))]

    async def create(self, host_id: str, sandbox_id: str, request: SandboxCreate) -> Workspace:
        """A fresh workspace there. Raises SkyscaleError when it could not be made; another place may be tried."""
        host = self._hosts.get(host_id)
        if host is None:
            raise Unavailable("the host is not there any more", code="host_lost")
        asked = request.model_copy(update={"sandbox_id": sandbox_id, "metadata": {}})
        host.num_making += 1
        try:
            await host.unless_lost(host.client.create(asked))
            host.num_made += 1
        except Unavailable as error:
            self._hosts.suspect(host, error)
            raise
        finally:
            host.num_making -= 1
        return RemoteWorkspace(self._hosts, host_id, sandbox_id)

    def attach(self, host_id: str, sandbox_id: str) -> Workspace:
        """A workspace that was made before, by whomever."""
        return RemoteWorkspace(self._hosts, host_id, sandbox_id)

    def is_lost(self, host_id: str) -> bool:
        """Whether what it held is lost."""
        return self._hosts.get(host_id) is None


class RemoteWorkspace:
    """A workspace on a host."""

    def __init__(self, hosts: HostService, host_id: str, workspace_id: str) -> None:
        self.workspace_id = workspace_id
        self.host_id = host_id
        self._hosts = hosts
        self._is_missing = False

    @property
    def is_busy(self) -> bool:
        """Whether a command is running, by the host's last report."""
        host = self._hosts.get(self.host_id)
        return host is not None and self.workspace_id in host.report.busy

    @property
    def is_alive(self) -> bool:
        """False once the host said that it has no such sandbox. A lost host is found by the sweep, with a reason."""
        return not self._is_missing

    async def run(self, command: Command, on_output: OutputSink) -> CommandResult:
        """Run one command to its end; cancelling the call ends it."""
        body = ExecRequest(
            code=command.code, language=command.language, timeout_seconds=command.timeout_s, stdin=command.stdin
        )
        host = self._host()
        return await self._noticing(host.unless_lost(_followed(host.client.run(self.workspace_id, body), on_output)))

    async def write_file(self, path: str, content: bytes) -> None:
        """Replace the file at this relative path."""
        host = self._host()
        await self._noticing(host.unless_lost(host.client.write_file(self.workspace_id, path, content)))

    async def read_file(self, path: str, max_bytes: int) -> bytes:
        """The file at this relative path; the host holds the same limit."""
        host = self._host()
        return (await self._noticing(host.unless_lost(host.client.read_file(self.workspace_id, path))))[:max_bytes]

    async def list_files(self, path: str, max_entries: int) -> list[FileEntry]:
        """The directory at this relative path, by name; one more than the host shows stands for the rest."""
        host = self._host()
        found = await self._noticing(host.unless_lost(host.client.list_files(self.workspace_id, path)))
        entries = [FileEntry(e.name, e.kind, e.size_bytes, e.modified_at.timestamp()) for e in found.entries]
        if found.is_truncated:
            entries.append(FileEntry("", "other", 0, 0.0))
        return entries[:max_entries]

    async def close(self) -> None:
        """End it. A host that does not answer is told later: it asks in each report what is still wanted."""
        with contextlib.suppress(SkyscaleError):
            host = self._host()
            await host.unless_lost(host.client.destroy(self.workspace_id))

    def _host(self) -> Host:
        host = self._hosts.get(self.host_id)
        if host is None:
            raise SandboxFailure("the host of this sandbox is lost", code="host_lost", hint="Make another sandbox.")
        return host

    async def _noticing(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except NotFound as error:
            if error.code != "sandbox_not_found":
                raise
            self._is_missing = True
            raise SandboxFailure("its host has no such sandbox any more", hint="Make another one.") from error


async def _followed(events: AsyncGenerator[ExecEvent], on_output: OutputSink) -> CommandResult:
    async with contextlib.aclosing(events):
        async for event in events:
            if event.type == "stdout" or event.type == "stderr":
                on_output(event.type, event.data.encode())
            elif event.result is not None:
                said = event.result
                return CommandResult(
                    status=CommandStatus(said.status), exit_code=said.exit_code, duration_ms=said.duration_ms,
                    detail=said.detail,
                )  # fmt: skip
            else:
                raise SandboxFailure(f"the sandbox broke: {event.data}")
    raise SandboxFailure("the host ended the program's stream too early")
