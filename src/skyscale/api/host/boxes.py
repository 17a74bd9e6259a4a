"""Interactive sandboxes of a host: held in memory, ended when their time is over or nobody asks for them any more.

- Quotas, idleness and rows are the control plane's business; the host holds the hard cap of each sandbox's life.
- While no control plane answers, nothing is ended but by that cap, and after `ALONE_S` all of it.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skyscale.boxes import rules
from skyscale.boxes.running import Running
from skyscale.errors import NotFound, SandboxFailure, TooMany, Unavailable
from skyscale.sandboxes.workspace import Command, Workspace, WorkspaceBackend, WorkspaceBusy
from skyscale.wire.sandboxes import ExecRequest, SandboxCreate

ALONE_S = 120.0
CAP_SLACK_S = 30.0
"""The control plane ends a sandbox in time; the host's own cap is for one that does not."""
MAX_MAKING = 4


@dataclass(slots=True)
class HostBox:
    """A sandbox that this host holds."""

    request: SandboxCreate
    workspace: Workspace
    ends_at: float
    running: Running | None = None


class HostBoxes:
    """The interactive sandboxes of this host."""

    def __init__(self, backends: Mapping[str, WorkspaceBackend], max_total: int) -> None:
        self.backends = backends
        self._max_total = max_total
        self._boxes: dict[str, HostBox] = {}
        self._in_making: set[str] = set()
        self._making = asyncio.Semaphore(MAX_MAKING)
        self.is_draining = False

    async def start(self) -> None:
        """End what a dead host with the same data folder left behind."""
        for backend in self.backends.values():
            await backend.start()

    async def stop(self) -> None:
        """End every sandbox."""
        await self.drop(list(self._boxes))
        for backend in self.backends.values():
            await backend.stop()

    async def create(self, request: SandboxCreate) -> None:
        """Make the sandbox of that id; again changes nothing.

        Raises:
            Invalid: this cannot be made here. TooMany: the host is full. Unavailable: it drains.
            SandboxFailure: it could not be made.
        """
        rules.check_create(request, sorted(self.backends))
        sandbox_id = request.sandbox_id
        if self.is_draining:
            raise Unavailable("this host takes nothing new", code="host_draining", hint="Another host will.")
        if sandbox_id is None or sandbox_id in self._boxes:
            return
        if len(self._boxes) + len(self._in_making) >= self._max_total:
            raise TooMany(f"this host holds {self._max_total} sandboxes", code="host_full", retry_after_s=5.0)
        self._in_making.add(sandbox_id)
        try:
            async with self._making:
                limits = rules.limits_of(request.limits)
                workspace = await self.backends[request.backend].create(sandbox_id, limits)
        finally:
            self._in_making.discard(sandbox_id)
        ends_at = asyncio.get_running_loop().time() + request.ttl_seconds + CAP_SLACK_S
        self._boxes[sandbox_id] = HostBox(request, workspace, ends_at)

    async def use(self, caller: str, sandbox_id: str) -> HostBox:
        """A sandbox to work with. Raises NotFound, SandboxFailure."""
        del caller  # the control plane, which has looked whose it is
        box = self._boxes.get(sandbox_id)
        if box is None:
            raise NotFound(f"this host has no sandbox {sandbox_id!r}", code="sandbox_not_found")
        if not box.workspace.is_alive:
            await self.drop([sandbox_id])
            raise SandboxFailure(f"sandbox {sandbox_id!r} broke", hint="Make another one.")
        return box

    async def start_exec(self, sandbox_id: str, request: ExecRequest) -> Running:
        """A program that has been started. Raises Invalid, NotFound, WorkspaceBusy."""
        rules.check_exec(request)
        box = await self.use("", sandbox_id)
        if box.running is not None:
            raise WorkspaceBusy(f"sandbox {sandbox_id} is busy: it runs one program at a time")
        command = Command(
            code=request.code, language=request.language or box.request.runtime, timeout_s=request.timeout_seconds,
            stdin=request.stdin,
        )  # fmt: skip

        def ended() -> None:
            box.running = None

        box.running = Running(box.workspace, command, ended)
        return box.running

    def ids(self) -> list[str]:
        """Of what it holds."""
        return sorted(self._boxes)

    def busy_ids(self) -> list[str]:
        """Of those that run a program."""
        return sorted(sandbox_id for sandbox_id, box in self._boxes.items() if box.running is not None)

    async def drop(self, sandbox_ids: Iterable[str]) -> None:
        """End these; unknown ones are ended already."""
        boxes = [box for sandbox_id in sandbox_ids if (box := self._boxes.pop(sandbox_id, None)) is not None]
        await asyncio.gather(*(box.workspace.close() for box in boxes))

    async def sweep(self, alone_s: float) -> None:
        """End what is over or broke, and everything when no control plane has answered for too long."""
        now = asyncio.get_running_loop().time()
        await self.drop(
            [
                sandbox_id
                for sandbox_id, box in self._boxes.items()
                if alone_s > ALONE_S or now > box.ends_at or not box.workspace.is_alive
            ]
        )
