"""A virtual machine of one hypervisor process: its line, its end, and the sandbox it carries.

- It is made in steps, each with the caller's deadline: the process starts, `hello` (booted) or a restore, `introduce`
  (fresh entropy, the clock, an identity), `attach`. Only then does a sandbox exist.
- A machine that dies or babbles after it took a job is the job's doing; before that it is our failure.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.guest.mux import MuxReader, MuxViolation, pack
from skyscale.sandboxes.guest.sandbox import Passenger

_CHUNK = 65536
_PIECE = 512 * 1024
_OUTPUTS = {b"O": 0, b"E": 1}
_ENTROPY_BYTES = 64
_MAX_SIGNAL, _MAX_EXIT_CODE = 64, 255


class GuestMachine:
    """The carrier: a hypervisor's process and a connected socket to the daemon in its guest."""

    def __init__(
        self, process: subprocess.Popen[bytes], line: socket.socket, clean_up: Callable[[], None] = lambda: None
    ) -> None:
        self.pid = process.pid
        self._process = process
        self._clean_up = clean_up
        self._loop = asyncio.get_running_loop()
        self._passenger: Passenger | None = None
        self._reader = MuxReader()
        self._expected: dict[bytes, asyncio.Future[dict[str, Any]]] = {}
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._on_end)
        self._line = line
        self._line.setblocking(False)
        self._loop.add_reader(self._line.fileno(), self._on_line)

    # -- while it is made ----------------------------------------------------------------------------------------

    async def hello(self) -> dict[str, str]:
        """Wait until the daemon has an episode ready; returns the layers that isolate it in the guest."""
        return await self._expect(b"R")

    async def introduce(self, identity: str) -> dict[str, Any]:
        """Make a restored machine unlike its siblings; returns what it says of its entropy and clock."""
        entropy = secrets.token_hex(_ENTROPY_BYTES)
        answer = self._expect(b"S")
        body = json.dumps({"entropy": entropy, "time": time.time(), "id": identity}).encode()
        await self._send(b"S", body)
        return await answer

    def _expect(self, kind: bytes) -> asyncio.Future[dict[str, Any]]:
        future: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._expected[kind] = future
        if self._gone.done():
            future.set_exception(self._failure())
        return future

    def _failure(self) -> SandboxFailure:
        return SandboxFailure(f"the virtual machine ended while it was made (exit {self._process.returncode})")

    def hang_up(self) -> None:
        """Let go of the line; the machine lives on."""
        self._loop.remove_reader(self._line.fileno())
        self._line.close()

    def attach(self, passenger: Passenger) -> "GuestMachine":
        """From here on it carries this one."""
        self._passenger = passenger
        return self

    # -- the carrier ---------------------------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        """To the episode's channel."""
        for start in range(0, len(data), _PIECE):
            await self._send(b"C", data[start : start + _PIECE])

    async def _send(self, kind: bytes, body: bytes) -> None:
        await self._loop.sock_sendall(self._line, pack(kind, body))

    def drain(self) -> None:
        """Output is sent before the frame that follows it, so it has been delivered with it."""

    def _on_line(self) -> None:
        try:
            data = self._line.recv(_CHUNK)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._loop.remove_reader(self._line.fileno())
            return
        try:
            for kind, body in self._reader.feed(data):
                self._take(kind, body)
        except (MuxViolation, ValueError, AttributeError, RecursionError) as error:  # the last: JSON that is too deep
            self._babbled(str(error))

    def _take(self, kind: bytes, body: bytes) -> None:
        expected = self._expected.pop(kind, None)
        if expected is not None and not expected.done():
            expected.set_result(json.loads(body))
        elif self._passenger is None:
            return
        elif kind in _OUTPUTS:
            self._passenger.on_output(_OUTPUTS[kind], body)
        elif kind == b"C":
            self._passenger.on_channel(body)
        elif kind == b"X":
            self._passenger.on_exit(_status(json.loads(body).get("status")))

    def _babbled(self, reason: str) -> None:
        self._loop.remove_reader(self._line.fileno())
        self.kill()
        if self._passenger is not None:
            self._passenger.on_violation(reason)

    def _on_end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self._process.wait()
        if not self._gone.done():
            self._gone.set_result(None)
        for future in self._expected.values():
            if not future.done():
                future.set_exception(self._failure())
        if self._passenger is not None:
            self._passenger.on_exit(None)

    def kill(self) -> None:
        """SIGKILL to the hypervisor; with it goes every process of the guest."""
        if not self._gone.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def destroy(self) -> None:
        """Kill, and return when process, descriptors and files are gone; safe to call twice."""
        self.kill()
        await self._gone
        if self._pidfd < 0:
            return
        os.close(self._pidfd)
        self._pidfd = -1
        if self._line.fileno() >= 0:
            self.hang_up()
        for future in self._expected.values():
            if future.done() and not future.cancelled():
                future.exception()  # read, so that the loop does not report it
        self._clean_up()


def _status(claimed: object) -> int | None:
    """An exit code or minus a signal, if it can be one."""
    return claimed if isinstance(claimed, int) and -_MAX_SIGNAL <= claimed <= _MAX_EXIT_CODE else None
