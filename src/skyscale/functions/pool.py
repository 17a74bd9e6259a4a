"""Fresh sandboxes of functions, made before they are asked for; each serves one call and is destroyed.

- A sandbox holds one version's module and layer, nothing of another function, and nothing of a call before.
- A version has ready ones from its first call until `scaledown_window` seconds after its last one: `sweep` enforces it.
- All that are ready together never exceed `max_warm`: the one that was called longest ago gives way.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skyscale.errors import SandboxFailure
from skyscale.functions import rules
from skyscale.sandboxes.workspace import FileRefused, Workspace, WorkspaceBackend
from skyscale.wire.base import new_id
from skyscale.wire.functions import FunctionSpec

log = logging.getLogger(__name__)
LAYER_NAME = ".layer.zip"
MAX_MAKING = 2


@dataclass(slots=True)
class Shelf:
    """What is ready of one version."""

    spec: FunctionSpec
    layer: Path | None
    last_called_at: float
    ready: deque[Workspace] = field(default_factory=deque[Workspace])
    num_making: int = 0
    is_closed: bool = False


class Pool:
    """Hands out fresh sandboxes and takes them away."""

    def __init__(
        self, backend: WorkspaceBackend, *, max_warm: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backend = backend
        self._max_warm = max_warm
        self._clock = clock
        self._shelves: dict[str, Shelf] = {}
        self._making = asyncio.Semaphore(MAX_MAKING)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopped = False

    async def start(self) -> None:
        """End what a dead control plane left behind."""
        await self._backend.start()

    async def stop(self) -> None:
        """Destroy everything."""
        self._is_stopped = True
        for key in list(self._shelves):
            self.forget(key)
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._backend.stop()

    @property
    def num_all_ready(self) -> int:
        """Sandboxes of all versions that are ready now."""
        return sum(len(shelf.ready) for shelf in self._shelves.values())

    def num_ready(self, version: str) -> int:
        """Sandboxes of a version that are ready now."""
        shelf = self._shelves.get(version)
        return len(shelf.ready) if shelf else 0

    async def take(self, version: str, spec: FunctionSpec, layer: Path | None) -> tuple[Workspace, bool]:
        """A sandbox for one call, and whether it had to be made; give it to `discard` afterwards.

        Raises:
            SandboxFailure: it could not be made.
        """
        shelf = self._shelves.setdefault(version, Shelf(spec, layer, self._clock()))
        shelf.last_called_at = self._clock()
        while shelf.ready:
            workspace = shelf.ready.popleft()
            if workspace.is_alive:
                return workspace, False
            self.discard(workspace)
        return await self._make(spec, layer), True

    def discard(self, workspace: Workspace) -> None:
        """Destroy a sandbox; its files and processes are gone within moments."""
        self._spawn(workspace.close())

    def replenish(self, version: str) -> None:
        """Make ready what the version should have."""
        shelf = self._shelves.get(version)
        if shelf is None or self._is_stopped:
            return
        for _ in range(shelf.spec.warm - len(shelf.ready) - shelf.num_making):
            shelf.num_making += 1
            self._spawn(self._make_ready(shelf))

    def forget(self, version: str) -> None:
        """Destroy what is ready of a version."""
        shelf = self._shelves.pop(version, None)
        if shelf is not None:
            shelf.is_closed = True
            while shelf.ready:
                self.discard(shelf.ready.popleft())

    def sweep(self) -> None:
        """Scale down what has not been called for its window."""
        now = self._clock()
        for version, shelf in list(self._shelves.items()):
            if now - shelf.last_called_at >= shelf.spec.scaledown_window:
                self.forget(version)

    async def _make_ready(self, shelf: Shelf) -> None:
        try:
            async with self._making:
                if shelf.is_closed:
                    return
                workspace = await self._make(shelf.spec, shelf.layer)
        except SandboxFailure as error:
            log.warning("no sandbox could be kept ready: %s", error.detail)
            return
        finally:
            shelf.num_making -= 1
        shelf.ready.append(workspace)
        if shelf.is_closed or self._is_stopped:
            self.discard(shelf.ready.pop())
        else:
            self._make_room()

    def _make_room(self) -> None:
        while self.num_all_ready > self._max_warm:
            oldest = min((each for each in self._shelves.values() if each.ready), key=lambda each: each.last_called_at)
            self.discard(oldest.ready.popleft())

    async def _make(self, spec: FunctionSpec, layer: Path | None) -> Workspace:
        workspace = await self._backend.create(new_id("fn"), rules.limits_of(spec))
        try:
            await workspace.write_file("deployed.py", spec.code.encode())
            if layer is not None:
                await workspace.write_file(LAYER_NAME, await asyncio.to_thread(layer.read_bytes))
        except FileRefused as error:
            self.discard(workspace)
            raise SandboxFailure(f"the code could not be put into a sandbox: {error}") from error
        except BaseException:
            self.discard(workspace)
            raise
        return workspace

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
