"""The backend "process": zygotes that keep isolated, single-use sandboxes warm.

- Taking a sandbox makes the pool refill while the taken one works, in lots: a lot costs its zygote hardly more copied
  pages than one sandbox does. A pool that nobody takes from is full after a moment.
- A zygote that dies is started again; sandboxes of the dead one raise SandboxFailure, and whoever waits gets another.
- `start` refuses a host where a required layer of isolation is not in force. Every layer is tried, none is assumed:
  the first sandbox's own report is checked, and its identity is read from /proc by us.
"""

import asyncio
import itertools
import os
import re
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Self

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.process.cgroups import Cgroups, Group, delegated
from skyscale.sandboxes.backends.process.link import ZygoteLink
from skyscale.sandboxes.backends.process.sandbox import ProcessSandbox
from skyscale.sandboxes.backends.process.talking import TalkingProcess
from skyscale.sandboxes.sandbox import Limits
from skyscale.wire.base import new_id

REQUIRED = (
    "user namespace", "pid namespace", "mount namespace", "network namespace", "ipc namespace", "private root",
    "private tmp", "no capabilities", "no new privileges", "resource limits", "seccomp", "verified from outside",
)  # fmt: skip
"""Layers without which `start` refuses; landlock, an own uid and cgroups are further lines of defence."""
ACQUIRE_TIMEOUT_S = 15.0
_REFILL_PAUSE_S = 0.008
"""While the pool is at least half full; a forking neighbour made proxied episodes take 7.6 ms instead of 5.2."""
_FILL_PAUSE_S = 0.03
"""Until less than a lot is asked for, when nobody has taken a sandbox meanwhile."""
_LOT = 4
"""Sandboxes that are asked for together; the last of them is ready some 3 ms after the first."""
_ZYGOTE_BYTES = 128 * 1024 * 1024
_MAX_PROCESSES = 1024
"""Of one zygote and its sandboxes: an episode may be allowed many."""
_RESTART_PAUSE_S = 0.2
"""Keeps a zygote that cannot live from taking a core."""


class ProcessBackend:
    """Sandboxes as forked processes in Linux namespaces."""

    name = "process"

    def __init__(self, *, slots: int = 2, allow_weak: bool = False) -> None:
        self._num_zygotes = max(1, min(slots, os.cpu_count() or 1))
        self._num_warm = max(2, min(4 * slots, slots + 6))
        self._allow_weak = allow_weak
        self._links: list[ZygoteLink] = []
        self._warm: deque[ProcessSandbox] = deque()
        self._waiting: deque[asyncio.Future[ProcessSandbox]] = deque()
        self._num_wanted = 0
        """Of warm ones: none before the first has been seen to be isolated."""
        self._num_asked = 0
        """Sandboxes that were asked for and are neither ready nor broken yet."""
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._layers: dict[str, str] = {}
        self._is_stopping = False
        self._turn = itertools.count()
        self._cgroups: Cgroups | str = "not tried"

    def keep_warm(self, num_sandboxes: int) -> None:
        """Before `start`: how many sandboxes wait ready made; 0 makes each one when it is asked for."""
        self._num_warm = num_sandboxes

    async def start(self) -> None:
        """Start the zygotes, make the first sandbox, and check what isolates it.

        Raises:
            SandboxFailure: a zygote does not start, or a required layer is missing here.
        """
        self._is_stopping = False
        self._cgroups = await asyncio.to_thread(delegated, "judging")
        try:
            self._links = [self._new_link(index) for index in range(self._num_zygotes)]
            await asyncio.gather(*(link.start() for link in self._links))
            await self._check_first()
        except BaseException:
            await self.stop()
            raise
        self._num_wanted = self._num_warm
        self._order_or_retry()

    async def _check_first(self) -> None:
        first = await self._next()
        self._layers = {**first.layers, **_seen_from_outside(first.pid), "memory cgroup": self._grouped()}
        await first.close()
        missing = [f"{name} ({self._layers.get(name, 'not tried')})" for name in REQUIRED if not self._has(name)]
        if missing and not self._allow_weak:
            raise SandboxFailure(
                f"this host lacks isolation that running unknown code needs: {'; '.join(missing)}",
                code="sandbox_isolation_missing",
                hint="Allow user namespaces (kernel.unprivileged_userns_clone=1, or --security-opt seccomp=unconfined "
                "for a container), or choose another sandbox backend.",
            )

    def _has(self, layer: str) -> bool:
        return self._layers.get(layer) == "yes"

    @property
    def num_ready(self) -> int:
        """Warm sandboxes."""
        return len(self._warm)

    async def acquire(self) -> ProcessSandbox:
        """A fresh sandbox, from the warm pool when one is ready.

        Raises:
            SandboxFailure: none could be made in time.
        """
        if self._is_stopping or not self._links:
            raise SandboxFailure("the sandbox backend is not running")
        while self._warm:
            sandbox = self._warm.popleft()
            self._refill_soon()
            if sandbox.failure is None:
                return sandbox
            await sandbox.close()
        return await self._next()

    def _refill_soon(self) -> None:
        """Make others, after the taken one got its job: beside it on a busy machine both would be late."""
        pause_s = 0.0 if len(self._warm) < self._num_warm // 2 else _REFILL_PAUSE_S
        self._order_in(pause_s if self._num_missing >= min(_LOT, self._num_warm) else _FILL_PAUSE_S)

    def _order_in(self, pause_s: float) -> None:
        self._forget_timer()
        self._timer = asyncio.get_running_loop().call_later(pause_s, self._order_or_retry)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _order_or_retry(self) -> None:
        try:
            self._order()
        except OSError:  # no descriptor left for now; whoever finds the pool empty is told
            self._order_in(_RESTART_PAUSE_S)

    @property
    def _num_missing(self) -> int:
        """Sandboxes that are wanted and not asked for."""
        return len(self._waiting) + self._num_wanted - len(self._warm) - self._num_asked

    def _order(self) -> None:
        """Ask the living zygotes, in turn, for what is missing; raises OSError when no descriptor is left."""
        is_urgent = True
        while is_urgent and self._num_missing > 0 and not self._is_stopping:
            alive = [link for link in self._links if link.is_alive]
            if not alive:  # whoever starts one orders again
                return
            num_asked = self._num_asked
            self._spawn(alive[next(self._turn) % len(alive)], min(_LOT, self._num_missing))
            if self._num_asked <= num_asked:  # it takes no requests for now, which its sandboxes have been told
                self._order_in(_RESTART_PAUSE_S)
                return
            is_urgent = self._num_missing >= _LOT or len(self._waiting) > self._num_asked
        if self._num_missing > 0 and not self._is_stopping:
            self._order_in(_FILL_PAUSE_S)

    def _spawn(self, link: ZygoteLink, number: int) -> None:
        made: list[ProcessSandbox] = []
        try:
            for _ in range(number):
                made.append(TalkingProcess(new_id("sb"), self._on_made))
        except OSError:
            if not made:
                raise
        self._num_asked += len(made)
        link.spawn(made)

    async def _next(self) -> ProcessSandbox:
        future: asyncio.Future[ProcessSandbox] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            self._order_for_waiting()
            async with asyncio.timeout(ACQUIRE_TIMEOUT_S):
                sandbox = await future
        except TimeoutError as error:
            self._take_back(future)
            raise SandboxFailure(f"no sandbox became ready in {ACQUIRE_TIMEOUT_S:.0f} s") from error
        except OSError as error:
            self._take_back(future)
            raise SandboxFailure(f"the control plane cannot make a sandbox: {error}") from error
        except asyncio.CancelledError:
            self._take_back(future)
            raise
        if sandbox.failure is not None:
            await sandbox.close()
            raise SandboxFailure(f"the sandbox could not be made: {sandbox.failure}")
        return sandbox

    def _order_for_waiting(self) -> None:
        if len(self._waiting) > self._num_asked:
            self._order()
        else:
            self._refill_soon()

    def _on_made(self, sandbox: ProcessSandbox) -> None:
        self._num_asked -= 1
        self._offer(sandbox)

    def _offer(self, sandbox: ProcessSandbox) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(sandbox)
                return
        if sandbox.failure is None and not self._is_stopping:
            self._warm.append(sandbox)
        else:
            self._keep(sandbox.close())

    def _on_death(self, link: ZygoteLink) -> None:
        if not self._is_stopping and link in self._links:
            self._keep(self._replace(link))

    async def _replace(self, link: ZygoteLink) -> None:
        """Start a zygote in the dead one's place, until one lives or the backend stops."""
        while not self._is_stopping:
            await link.reap()
            await asyncio.sleep(_RESTART_PAUSE_S)
            fresh = self._new_link(link.index)
            self._links[self._links.index(link)] = fresh
            link = fresh
            try:
                await fresh.start()
            except SandboxFailure:
                continue
            break
        self._order_or_retry()

    def _new_link(self, index: int) -> ZygoteLink:
        return ZygoteLink(index, Limits().tmp_bytes, self._on_death, self._group(index))

    def _group(self, index: int) -> Group | None:
        """What bounds a zygote with its sandboxes. It is never reached while each sandbox keeps to its own limits."""
        if isinstance(self._cgroups, str):
            return None
        limits = Limits()
        num_sandboxes = self._num_warm + 4 * self._num_zygotes + 4
        memory_bytes = num_sandboxes * (limits.memory_bytes + limits.tmp_bytes) + _ZYGOTE_BYTES
        return self._cgroups.make(f"zygote-{index}", memory_bytes, _MAX_PROCESSES)

    def _grouped(self) -> str:
        return f"no: {self._cgroups}; each episode has its own limits" if isinstance(self._cgroups, str) else "yes"

    def _take_back(self, future: asyncio.Future[ProcessSandbox]) -> None:
        """A sandbox that came just as its waiter went away is still good."""
        if future.done() and not future.cancelled():
            self._offer(future.result())
        elif future in self._waiting:
            self._waiting.remove(future)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End every sandbox and helper process; nothing is left behind."""
        self._is_stopping = True
        self._num_wanted = 0
        self._forget_timer()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in self._links:
            sandboxes = list(link.sandboxes.values())
            await link.stop()
            for sandbox in sandboxes:
                await sandbox.close()
        while self._warm:
            await self._warm.popleft().close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._links = []
        if not isinstance(self._cgroups, str):
            await asyncio.to_thread(self._cgroups.close)

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


def _seen_from_outside(pid: int) -> dict[str, str]:
    """What the kernel says of a waiting sandbox: not root, no capabilities, no new privileges, seccomp on."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    fields = dict(re.findall(r"^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):\s*(\S+)", status, re.MULTILINE))
    wanted = {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
    wrong = [f"{name} is {fields.get(name)}" for name, value in wanted.items() if fields.get(name) != value]
    if fields.get("Uid") == "0" and _root_here_is_root_outside():
        wrong.append("Uid is 0")
    return {"verified from outside": f"no: {', '.join(wrong)}" if wrong else "yes"}


def _root_here_is_root_outside() -> bool:
    """Whether uid 0 is 0 beyond this user namespace too; in a rootless container it is an ordinary user."""
    inner, outer = Path("/proc/self/uid_map").read_text(encoding="ascii").split()[:2]
    return (inner, outer) == ("0", "0")
