"""The control plane's end of one zygote process.

- The zygote is started with an environment of two constants and without site-packages; it gets one socket.
- A death of the zygote is told once, to `on_death` or, while it starts, to whoever waits for `start`; and to every
  sandbox that it was the parent of: those are broken.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.process.cgroups import Group
from skyscale.sandboxes.backends.process.sandbox import ProcessSandbox

START_TIMEOUT_S = 20.0
"""A cold disk and a busy machine; warm it takes 0.1 s."""
STOP_TIMEOUT_S = 5.0
_ROOT = Path(__file__).resolve().parents[3]
_BOOT = (
    "import sys; sys.path.insert(0, {root!r}); from sandboxes.backends.process.zygote.main import main; "
    "del sys.path[0]; main({fd}, {index}, {tmp_bytes})"
)
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "LD_BIND_NOW": "1"}
"""Bound now: a library function's address is found once in the zygote, not in each episode that calls it first."""
_MAX_MESSAGE = 8192
MAX_LOT = 8
"""As in `zygote/main.py`."""


class ZygoteLink:
    """One zygote: start it, ask it for sandboxes, hear of their ends."""

    def __init__(
        self, index: int, tmp_bytes: int, on_death: Callable[["ZygoteLink"], None], group: Group | None = None
    ) -> None:
        """`group` bounds the zygote and all its sandboxes together."""
        self.index = index
        self.layers: dict[str, str] = {}
        self.is_alive = False
        self.sandboxes: dict[str, ProcessSandbox] = {}
        """Every sandbox whose process has not been reaped."""
        self._tmp_bytes = tmp_bytes
        self._on_death = on_death
        self._group = group

    async def start(self) -> None:
        """Start the process and wait until it serves.

        Raises:
            SandboxFailure: it ended or did not answer in time.
        """
        self._loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        with theirs:
            self._process = self._launch(theirs.fileno())
            if self._group is not None:  # it needs longer to start than this takes: what it forks is born inside
                self._group.add(self._process.pid)
        ours.setblocking(False)
        self._hello: asyncio.Future[None] = self._loop.create_future()
        self.is_alive = True
        self._loop.add_reader(ours.fileno(), self._on_readable)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._hello
        except TimeoutError as error:
            await self.stop()
            raise SandboxFailure(f"the zygote did not answer in {START_TIMEOUT_S:.0f} s") from error

    def _launch(self, control: int) -> subprocess.Popen[bytes]:
        boot = _BOOT.format(root=str(_ROOT), fd=control, index=self.index, tmp_bytes=self._tmp_bytes)
        # sys.executable resolved: without site-packages a virtual environment is only a link to its interpreter
        command = [str(Path(sys.executable).resolve()), "-s", "-S", "-P", "-B", "-X", "utf8", "-c", boot]
        return subprocess.Popen(
            command, env=_ENVIRONMENT, pass_fds=(control,), cwd="/", stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=None, start_new_session=True,
        )  # fmt: skip

    def spawn(self, sandboxes: Sequence[ProcessSandbox]) -> None:
        """Ask for the processes of at most `MAX_LOT` sandboxes; each is told when it is ready or failed."""
        assert len(sandboxes) <= MAX_LOT
        self.sandboxes.update((sandbox.sandbox_id, sandbox) for sandbox in sandboxes)
        message = json.dumps({"spawn": [sandbox.sandbox_id for sandbox in sandboxes]}).encode()
        try:
            socket.send_fds(self._control, [message], [end for sandbox in sandboxes for end in sandbox.child_ends])
        except OSError as error:
            for sandbox in sandboxes:
                del self.sandboxes[sandbox.sandbox_id]
                sandbox.broke(f"the zygote takes no request: {error}")
        finally:
            for sandbox in sandboxes:
                sandbox.close_child_ends()

    def _on_readable(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, _MAX_MESSAGE, MAX_LOT, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if data:
            self._on_message(json.loads(data), descriptors)
        else:
            self._died()

    def _on_message(self, message: dict[str, Any], descriptors: list[int]) -> None:
        if "hello" in message:
            self.layers = message["hello"]
            self._hello.set_result(None)
        elif "spawned" in message:
            self._on_spawned(message, descriptors)
        elif "failed" in message:
            sandbox = self.sandboxes.pop(message["failed"], None)
            if sandbox is not None:
                sandbox.broke(str(message["detail"]))
        else:
            sandbox = self.sandboxes.pop(message["exited"], None)
            if sandbox is not None:
                sandbox.exited(int(message["status"]))

    def _on_spawned(self, message: dict[str, Any], descriptors: list[int]) -> None:
        for (sandbox_id, pid), pidfd in zip_longest(message["spawned"].items(), descriptors):
            sandbox = self.sandboxes.get(sandbox_id)
            if sandbox is not None and pidfd is not None:
                sandbox.spawned(int(pid), pidfd)
            elif sandbox is not None:  # its channel's end makes the process end itself
                sandbox.broke("the control plane has no file descriptor left")
            elif pidfd is not None:
                os.close(pidfd)

    def _died(self) -> None:
        if not self.is_alive:
            return
        self._release()
        for sandbox in list(self.sandboxes.values()):
            sandbox.broke("its zygote ended")
        self.sandboxes.clear()
        if self._hello.done():
            self._on_death(self)
        else:
            self._hello.set_exception(SandboxFailure("the zygote ended while it started; its errors are on stderr"))

    def _release(self) -> None:
        self.is_alive = False
        self._loop.remove_reader(self._control.fileno())
        self._control.close()

    async def stop(self) -> None:
        """End the zygote, and with it every child; returns when the process is gone."""
        if self.is_alive:
            self._release()
        for sandbox in list(self.sandboxes.values()):
            sandbox.broke("the backend stopped")
        self.sandboxes.clear()
        await self._reap()

    async def _reap(self) -> None:
        deadline = self._loop.time() + STOP_TIMEOUT_S
        while self._process.poll() is None:
            if self._loop.time() > deadline:
                self._process.kill()
            await asyncio.sleep(0.005)

    @property
    def pid(self) -> int:
        """The zygote's process id."""
        return self._process.pid

    async def reap(self) -> None:
        """Wait for a zygote that died by itself."""
        await self._reap()
