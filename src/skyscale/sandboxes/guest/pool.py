"""A warm pool of single-use sandboxes that take long to make.

- `take` starts making the next one; a moment later while others are warm, since making would slow what was taken.
- At most `max_making` are being made at the same time; whoever finds nothing warm waits for the next, first come first
  served, until a deadline.
- A sandbox that fails while it is made or while it waits is never handed out. Three failures in a row, with nobody
  served in between, are told to every waiter instead of being tried for ever.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.guest.sandbox import GuestSandbox

_MAX_FAILURES = 3
_REFILL_PAUSE_S = 0.05


class WarmPool:
    """Keeps `target` sandboxes ready."""

    def __init__(
        self, make: Callable[[], Awaitable[GuestSandbox]], *, target: int, max_making: int, wait_s: float
    ) -> None:
        self._make = make
        self._target = target
        self._max_making = max_making
        self._wait_s = wait_s
        self._warm: deque[GuestSandbox] = deque()
        self._waiting: deque[asyncio.Future[GuestSandbox]] = deque()
        self._num_making = 0
        self._num_failures = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_open = False

    def open(self) -> None:
        """Begin to fill."""
        self._is_open = True
        self._refill()

    async def take(self) -> GuestSandbox:
        """A sandbox that waits for its job.

        Raises:
            SandboxFailure: closed, or none could be made in time.
        """
        if not self._is_open:
            raise SandboxFailure("the sandbox backend is not running")
        while self._warm:
            sandbox = self._warm.popleft()
            if sandbox.failure is None:
                pause = _REFILL_PAUSE_S if self._warm else 0.0
                asyncio.get_running_loop().call_later(pause, self._refill)
                return sandbox
            self._keep(sandbox.close())
        future: asyncio.Future[GuestSandbox] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._refill()
        try:
            async with asyncio.timeout(self._wait_s):
                return await future
        except TimeoutError as error:
            self._give_back(future)
            raise SandboxFailure(f"no sandbox became ready in {self._wait_s:.0f} s") from error
        except asyncio.CancelledError:
            self._give_back(future)
            raise

    def _refill(self) -> None:
        wanted = self._target + len(self._waiting) - len(self._warm)
        while self._is_open and self._num_making < min(wanted, self._max_making):
            self._num_making += 1
            self._keep(self._make_one())

    async def _make_one(self) -> None:
        try:
            sandbox = await self._make()
        except (SandboxFailure, OSError) as error:
            self._num_making -= 1
            self._failed(str(error))
            return
        except BaseException:
            self._num_making -= 1
            raise
        self._num_making -= 1
        self._num_failures = 0
        self._hand_out(sandbox)
        self._refill()

    def _failed(self, reason: str) -> None:
        self._num_failures += 1
        if self._num_failures < _MAX_FAILURES:
            self._refill()
            return
        self._num_failures = 0
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(SandboxFailure(f"the sandbox could not be made: {reason}"))

    def _hand_out(self, sandbox: GuestSandbox) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(sandbox)
                return
        if self._is_open:
            self._warm.append(sandbox)
        else:
            self._keep(sandbox.close())

    def _give_back(self, future: asyncio.Future[GuestSandbox]) -> None:
        """A sandbox that came just as its waiter went away is still good."""
        if future.done() and not future.cancelled() and future.exception() is None:
            self._hand_out(future.result())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Destroy what is warm and give up what is being made."""
        self._is_open = False
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(SandboxFailure("the sandbox backend was stopped"))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(sandbox.close() for sandbox in self._warm))
        self._warm.clear()
