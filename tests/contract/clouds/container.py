"""Containers as the clouds' servers run them: real processes of this host, in sessions of their own.

Output is kept line by line with its time. What an image holds is played by this host; its name decides nothing.
"""

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

MARK = "SKYSCALE_TEST_CONTAINER"
"""In the environment of everything that a container started, whatever session it moved to."""


class Container:
    """One container; `code` is set when it has ended, as a shell would say it."""

    def __init__(self) -> None:
        self.lines: list[tuple[float, str]] = []
        self.code: int | None = None
        self.timed_out = False
        self._id = uuid.uuid4().hex
        self._starting: asyncio.Task[None] | None = None
        self._is_closed = False
        self._over = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, argv: Sequence[str], env: Mapping[str, str], timeout_s: float | None = None) -> None:
        """Start it; a command that does not exist ends with 127 and says so, as container engines do.

        A caller who gives up in the middle leaves a container that `close` knows; one that is closed starts no more.
        """
        if not self._is_closed:
            self._starting = asyncio.create_task(self._begin(argv, env, timeout_s))
            await asyncio.shield(self._starting)

    async def _begin(self, argv: Sequence[str], env: Mapping[str, str], timeout_s: float | None) -> None:
        base = {"PATH": os.environ["PATH"], "HOME": "/", "HOSTNAME": "container", MARK: self._id}
        try:
            self._process = await asyncio.create_subprocess_exec(
                *argv, env=base | dict(env), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT, start_new_session=True, limit=2**22,
            )  # fmt: skip
        except FileNotFoundError:
            self.say(f'exec: "{argv[0]}": executable file not found in $PATH')
            self._end(127)
            return
        self._spawn(self._watch())
        if timeout_s is not None:
            self._spawn(self._time_out(timeout_s))

    def say(self, line: str) -> None:
        """A line of output."""
        self.lines.append((time.time(), line))

    async def stop(self, grace_s: float) -> None:
        """SIGTERM to its first process, then SIGKILL to all; returns when nothing of it is left."""
        if self._starting is not None:
            await asyncio.wait([self._starting])
        if self.code is None and self._process is not None:
            self.ask_to_end()
            await self.ended(grace_s)
            self._kill_all()
            await self.ended(10.0)

    def _kill_all(self) -> None:
        """As the end of a container's namespace does; what lived on would hold its output open."""
        mark = f"{MARK}={self._id}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)

    def ask_to_end(self) -> None:
        """SIGTERM to its first process, which is all that engines send."""
        if self.code is None and self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    async def ended(self, within_s: float) -> bool:
        """Wait for its end; whether it came."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), within_s)
        return self.code is not None

    async def close(self) -> None:
        """End it and everything that watches it."""
        self._is_closed = True
        await self.stop(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.say(line.decode(errors="replace").rstrip("\n"))
        code = await self._process.wait()
        self._end(code if code >= 0 else 128 - code)

    async def _time_out(self, timeout_s: float) -> None:
        await asyncio.sleep(timeout_s)
        self.timed_out = self.code is None
        await self.stop(0.5)

    def _end(self, code: int) -> None:
        self.code = code
        self._over.set()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(asyncio.create_task(work))
