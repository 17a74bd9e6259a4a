"""What backends of interactive sandboxes with machines of their own do alike: opening once, checking, closing all."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.guest.workspace import GuestWorkspace
from skyscale.sandboxes.workspace import WorkspaceLimits


class GuestWorkspaces(ABC):
    """The common half of a `WorkspaceBackend`; there is no weak mode."""

    name: str
    required: Sequence[str]
    """Layers that the inside must report."""
    around: Sequence[str]
    """Layers that the machine itself is."""

    def __init__(self, *, label: str) -> None:
        self._label = label
        self._is_open = False
        self._opening = asyncio.Lock()
        self._live: dict[str, GuestWorkspace] = {}
        self._layers: dict[str, str] = {}

    @abstractmethod
    def _reap(self) -> None:
        """End what dead owners left; nothing where the backend is not installed."""

    @abstractmethod
    async def _open(self) -> None:
        """What the first workspace needs; raises SandboxFailure with what is missing here."""

    @abstractmethod
    async def _made(self, workspace_id: str, limits: WorkspaceLimits) -> GuestWorkspace:
        """A workspace that passed `_ready`."""

    @abstractmethod
    async def _shut(self) -> None:
        """Undo `_open`, after every workspace was closed."""

    async def start(self) -> None:
        """End what a dead control plane left behind; all else waits for the first workspace."""
        await asyncio.to_thread(self._reap)

    async def create(self, workspace_id: str, limits: WorkspaceLimits) -> GuestWorkspace:
        """A fresh workspace.

        Raises:
            SandboxFailure: what it needs is missing here, it could not be made in time, or a layer is not in force.
        """
        async with self._opening:
            if not self._is_open:
                await self._open()
                self._is_open = True
        workspace = await self._made(workspace_id, limits)
        self._live = {key: kept for key, kept in self._live.items() if kept.is_alive} | {workspace_id: workspace}
        return workspace

    async def _ready(self, workspace: GuestWorkspace, timeout_s: float) -> GuestWorkspace:
        """Have it made and checked; closes it when that fails."""
        try:
            async with asyncio.timeout(timeout_s):
                layers = await workspace.make()
            self._check(layers)
        except BaseException as error:
            await asyncio.shield(workspace.close())
            if isinstance(error, TimeoutError):
                raise SandboxFailure(f"no sandbox became ready in {timeout_s:.0f} s") from error
            raise
        return workspace

    def _check(self, layers: dict[str, str]) -> None:
        self._layers = {**dict.fromkeys(self.around, "yes"), **layers}
        missing = [f"{name} ({layers.get(name)})" for name in self.required if layers.get(name) != "yes"]
        if missing:
            raise SandboxFailure(
                f"layers are missing in the sandbox: {'; '.join(missing)}", code="sandbox_isolation_missing",
                hint="`skyscale doctor` says what to do about each.",
            )  # fmt: skip

    async def stop(self) -> None:
        """End every workspace."""
        await asyncio.gather(*(workspace.close() for workspace in self._live.values()))
        self._live = {}
        if self._is_open:
            await self._shut()
            self._is_open = False

    def report(self) -> dict[str, str]:
        """Each isolation layer and whether it is in force here; empty before the first workspace."""
        return dict(self._layers)
