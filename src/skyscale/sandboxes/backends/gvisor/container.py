"""One container: a `runsc run` of ours, its socket and its two pipes; the carrier of one sandbox.

- Killing the `runsc run` client would leave gVisor's kernel and file server behind. So the kernel process itself is
  killed; the client then notices, cleans up and ends. What does not follow in time is deleted by force.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from skyscale.sandboxes.guest.sandbox import Passenger

_CHUNK = 65536
_END_WAIT_S = 3.0
_KILL_PAUSE_S = 0.05
_FORCE_WAIT_S = 10.0
_SIGNALLED = 128
"""runsc reports a death by signal as the shells do; a program may imitate it by its exit code, which proves nothing."""

CommandLine = Callable[..., list[str]]


class Container:
    """The carrier: a container that runs, or is coming up."""

    def __init__(self, command_line: CommandLine, bundle: Path, passenger: Passenger) -> None:
        self._command_line = command_line
        self._passenger = passenger
        self._id = passenger.carried_id
        self._loop = asyncio.get_running_loop()
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)
        reads: list[int] = []
        writes: list[int] = []
        for _ in range(2):
            read, write = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(read, False)
            reads.append(read)
            writes.append(write)
        self._outputs = {descriptor: index for index, descriptor in enumerate(reads)}
        try:
            self._process = subprocess.Popen(
                command_line("run", f"--bundle={bundle}", self._id), stdin=theirs.fileno(),
                stdout=writes[0], stderr=writes[1], env={}, cwd="/", start_new_session=True,
            )  # fmt: skip
        finally:
            theirs.close()
            for write in writes:
                os.close(write)
        self._pidfd = os.pidfd_open(self._process.pid)
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._pidfd, self._on_end)
        self._loop.add_reader(self._channel.fileno(), self._on_channel)
        for descriptor in self._outputs:
            self._loop.add_reader(descriptor, self._on_output, descriptor)

    @property
    def pid(self) -> int:
        """Of the client on the host."""
        return self._process.pid

    async def send(self, data: bytes) -> None:
        """To the process inside."""
        await self._loop.sock_sendall(self._channel, data)

    def _on_channel(self) -> None:
        try:
            data = self._channel.recv(_CHUNK)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._loop.remove_reader(self._channel.fileno())
        self._passenger.on_channel(data)

    def _on_output(self, descriptor: int) -> None:
        if not self._read(descriptor):
            self._loop.remove_reader(descriptor)

    def _read(self, descriptor: int) -> bool:
        """False at the end; a look at an empty pipe is True."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return True
        if data:
            self._passenger.on_output(self._outputs[descriptor], data)
        return bool(data)

    def drain(self) -> None:
        """What was written before the last frame lies in the pipes by now."""
        for descriptor, index in self._outputs.items():
            with contextlib.suppress(BlockingIOError):
                while (data := os.read(descriptor, _CHUNK)) and self._passenger.on_output(index, data):
                    continue

    def _on_end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        status = self._process.wait()
        self._passenger.on_exit(_SIGNALLED - status if status > _SIGNALLED else status)
        if not self._gone.done():
            self._gone.set_result(None)

    def kill(self) -> None:
        """SIGKILL to gVisor's kernel and file server, which are the client's children."""
        if self._gone.done():
            return
        for pid in _children(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def destroy(self) -> None:
        """Kill, and return when container, processes and descriptors are gone; safe to call twice, also at once."""
        if self._pidfd < 0:
            return
        deadline = self._loop.time() + _END_WAIT_S
        while not self._gone.done() and self._loop.time() < deadline:
            self.kill()  # again and again: one that is coming up has no children yet
            await asyncio.wait([self._gone], timeout=_KILL_PAUSE_S)
        if not self._gone.done():
            await self._delete_by_force()
        self._release()

    async def _delete_by_force(self) -> None:
        deletion = await asyncio.create_subprocess_exec(
            *self._command_line("delete", "--force", self._id), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={},
        )  # fmt: skip
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(deletion.wait(), _FORCE_WAIT_S)
        if deletion.returncode is None:
            deletion.kill()
            await deletion.wait()
        self.kill()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        await asyncio.wait([self._gone], timeout=_END_WAIT_S)

    def _release(self) -> None:
        if self._pidfd < 0:  # another destroyer was waiting beside this one and came first
            return
        descriptors = [self._pidfd, *self._outputs]
        for descriptor in descriptors:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        self._pidfd = -1
        self._outputs = {}
        self._loop.remove_reader(self._channel.fileno())
        self._channel.close()


def _children(pid: int) -> list[int]:
    """Of every thread of a process of ours, which therefore has not been reaped."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (thread / "children").read_text(encoding="ascii").split())
    return found
