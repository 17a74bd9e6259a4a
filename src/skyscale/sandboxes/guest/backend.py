"""What every backend with a warm pool does alike: handing out, closing, reporting. A backend adds how one is made.

- `start` of a backend prepares what it needs, makes a first sandbox, says what isolates it (`_checked`), and opens the
  pool. A `start` that fails stops what it began.
- Every sandbox that exists is in `_live` from before its first wait, so `stop` finds it.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.guest.machine import GuestMachine
from skyscale.sandboxes.guest.pool import WarmPool
from skyscale.sandboxes.guest.sandbox import GuestSandbox
from skyscale.wire.base import new_id

IN_A_GUEST = ("user namespace", "pid namespace", "private root", "private tmp", "no capabilities", "seccomp")
"""Layers that an episode must have inside its virtual machine, beside the machine itself."""


class PooledBackend(ABC):
    """The common half of a `SandboxBackend` whose sandboxes are made ahead of need."""

    def __init__(self, *, slots: int = 2, allow_weak: bool = False) -> None:
        self._allow_weak = allow_weak
        self._num_slots = slots
        self._pool: WarmPool | None = None
        self._live: set[GuestSandbox] = set()
        self._layers: dict[str, str] = {}
        self._num_warm: int | None = None

    def keep_warm(self, num_sandboxes: int) -> None:
        """Before `start`: how many sandboxes wait ready made; 0 makes each one when it is asked for."""
        self._num_warm = num_sandboxes

    @abstractmethod
    async def _prepare(self) -> None:
        """All that comes before the pool: what is installed, what dead owners left, the first sandbox's layers."""

    @abstractmethod
    async def _make(self) -> GuestSandbox:
        """One more sandbox, known to `_live`; raises SandboxFailure."""

    @abstractmethod
    def _new_pool(self) -> WarmPool:
        """The pool of this backend's measure, not open yet."""

    async def start(self) -> None:
        """Make ready, check what isolates the first sandbox, and begin to fill the pool.

        Raises:
            SandboxFailure: what it needs is missing here or does not work, or a required layer is not in force.
        """
        try:
            await self._prepare()
        except BaseException:
            await self.stop()
            raise
        self._pool = self._new_pool()
        self._pool.open()

    def _checked(self, layers: dict[str, str], required: Sequence[str]) -> None:
        """Keep the report; raises SandboxFailure when a required layer is not in force."""
        self._layers = layers
        missing = [f"{name} ({layers.get(name, 'not tried')})" for name in required if layers.get(name) != "yes"]
        if missing and not self._allow_weak:
            raise SandboxFailure(f"layers are missing in the sandbox: {'; '.join(missing)}")

    def _target(self, usual: int) -> int:
        return usual if self._num_warm is None else self._num_warm

    async def acquire(self) -> GuestSandbox:
        """A fresh sandbox, from the warm pool when one is ready.

        Raises:
            SandboxFailure: none could be made in time.
        """
        if self._pool is None:
            raise SandboxFailure("the sandbox backend is not running")
        return await self._pool.take()

    async def stop(self) -> None:
        """End every sandbox; nothing but what is kept for the next start is left behind."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None
        await asyncio.gather(*(sandbox.close() for sandbox in list(self._live)))

    def report(self) -> dict[str, str]:
        """Each isolation layer and whether it is in force here."""
        return dict(self._layers)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()


class Restorable(Protocol):
    """A booted machine that was kept."""

    layers: dict[str, str]
    """What isolates the waiting episode inside the guest."""

    async def restore(self, identity: str, timeout_s: float) -> GuestMachine:
        """A machine of its own, awake and unlike its siblings. Raises SandboxFailure."""
        ...


class MachineBackend(PooledBackend):
    """The common half of a backend whose sandboxes are virtual machines, restored from one snapshot."""

    around: Sequence[str]
    """Layers that the machine itself is."""
    restore_timeout_s: float
    max_making: int

    _snapshot: Restorable

    async def _keep(self, snapshot: Restorable) -> None:
        """Make machines of this one from now on; the first is looked at."""
        self._snapshot = snapshot
        await (await self._make()).close()
        inside = {f"guest's {name}": value for name, value in snapshot.layers.items()}
        self._checked(dict.fromkeys(self.around, "yes") | inside, [f"guest's {name}" for name in IN_A_GUEST])

    def _new_pool(self) -> WarmPool:
        target = self._target(self._num_slots)
        return WarmPool(self._make, target=target, max_making=self.max_making, wait_s=self.restore_timeout_s)

    async def _make(self) -> GuestSandbox:
        sandbox_id = new_id("sb")
        machine = await self._snapshot.restore(sandbox_id, self.restore_timeout_s)
        sandbox = GuestSandbox(sandbox_id, machine.attach, self._live.discard)
        sandbox.introduced(self._snapshot.layers)
        self._live.add(sandbox)
        return sandbox
