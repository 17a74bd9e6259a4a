"""One workspace seen from outside: its channel, its pidfd, the command that runs, its deadline and its limits.

- Output comes through pipes that we read; content of files through files in memory of our own. The first process
  inside never holds more than our request.
- A command that is to end (deadline, memory, output, cancelled) is killed by the first process on our word; if that
  is not done in `_KILL_WAIT_S` the whole workspace is killed by pidfd, and is broken.
- Sources: /proc/PID/task/TID/children for the memory watch.
"""

import asyncio
import contextlib
import json
import os
import signal
from typing import Any, cast

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.process.cgroups import Group
from skyscale.sandboxes.backends.process.workspaces.channel import Channel, Message
from skyscale.sandboxes.backends.process.workspaces.memory import WATCH_S, resident_bytes
from skyscale.sandboxes.backends.process.workspaces.output import Output
from skyscale.sandboxes.workspace import (
    Command,
    CommandResult,
    CommandStatus,
    FileEntry,
    FileRefused,
    FileTrouble,
    OutputSink,
    WorkspaceBusy,
    WorkspaceLimits,
)

_KILL_WAIT_S = 5.0
_FILE_TIMEOUT_S = 30.0
_MAX_LISTING = 4 * 1024 * 1024
_KINDS = {"file", "directory", "link", "other"}


class ProcessWorkspace:
    """A small world of processes with files of its own."""

    def __init__(self, workspace_id: str, limits: WorkspaceLimits) -> None:
        self.workspace_id = workspace_id
        self.pid = 0
        self.channel = Channel(self._on_broken)
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._pidfd = -1
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._is_busy = self._is_closed = False
        self._verdict: tuple[CommandStatus, str] | None = None
        """Why we end the running command."""
        self._group: Group | None = None
        self._num_oom_kills = 0

    def spawned(self, pid: int, pidfd: int) -> None:
        """Its first process exists."""
        self.pid, self._pidfd = pid, pidfd
        self._loop.add_reader(pidfd, self._on_end)
        if self._is_closed:
            self._kill()

    def bounded(self, group: Group) -> None:
        """All its processes are in this group from now on."""
        self._group = group

    @property
    def is_busy(self) -> bool:
        """Whether a command is running."""
        return self._is_busy

    @property
    def is_alive(self) -> bool:
        """Whether it can still be used."""
        return self.channel.broken is None and not self._is_closed

    # -- commands ------------------------------------------------------------------------------------------------

    async def run(self, command: Command, on_output: OutputSink) -> CommandResult:
        """Run one command to its end; cancelling the call ends it."""
        if self._is_busy:
            raise WorkspaceBusy(f"sandbox {self.workspace_id} is running a command")
        self._is_busy, self._verdict = True, None
        started = self._loop.time()
        output = Output(self._limits.output_bytes, on_output, self._end_for)
        try:
            reply = await self._run(command, output)
            output.drain()
        except SandboxFailure:
            if not self._is_closed:
                raise
            reply = {"exited": -signal.SIGKILL}
        finally:
            self._is_busy = False
            output.close()
        if "error" in reply:
            raise SandboxFailure(f"the program could not be started: {str(reply['error'])[:200]}")
        return self._result(int(reply["exited"]), (self._loop.time() - started) * 1000)

    async def _run(self, command: Command, output: Output) -> Message:
        files = [memory_file(command.code.encode()), memory_file(command.stdin.encode())]
        limits = {
            "memory_bytes": self._limits.memory_bytes, "cpu_s": self._limits.cpu_s,
            "disk_bytes": self._limits.disk_bytes, "max_processes": self._limits.max_processes,
        }  # fmt: skip
        request = {"op": "run", "language": command.language, "limits": limits}
        try:
            exited = self.channel.request(request, [*files, *output.child_ends])
        finally:
            output.close_child_ends()
            for descriptor in files:
                os.close(descriptor)
        deadline = self._loop.time() + command.timeout_s
        try:
            while not exited.done() and self._verdict is None:
                left = deadline - self._loop.time()
                if left <= 0:
                    self._end_for(CommandStatus.TIMEOUT, f"longer than {command.timeout_s:g} s")
                    break
                await asyncio.wait(
                    [exited, output.ended], timeout=min(left, WATCH_S), return_when=asyncio.FIRST_COMPLETED
                )
                self._watch_memory(exited)
            return await self._killed(exited) if self._verdict is not None else await exited
        except asyncio.CancelledError:
            with contextlib.suppress(SandboxFailure):
                self.channel.send({"op": "kill"})
                await asyncio.shield(self._killed(exited))
            raise

    def _watch_memory(self, exited: asyncio.Future[Message]) -> None:
        if self._group is not None and (num_kills := self._group.num_oom_kills) > self._num_oom_kills:
            self._num_oom_kills = num_kills
            self._end_for(CommandStatus.MEMORY, f"more than {self._limits.memory_bytes} bytes of memory")
        elif not exited.done() and resident_bytes(self.pid) > self._limits.memory_bytes:
            self._end_for(CommandStatus.MEMORY, f"more than {self._limits.memory_bytes} bytes of memory")

    def _end_for(self, status: CommandStatus, detail: str) -> None:
        if self._verdict is None and self._is_busy:
            self._verdict = status, detail
            with contextlib.suppress(SandboxFailure):
                self.channel.send({"op": "kill"})

    async def _killed(self, exited: asyncio.Future[Message]) -> Message:
        try:
            return await asyncio.wait_for(asyncio.shield(exited), _KILL_WAIT_S)
        except TimeoutError as error:
            self.channel.close("it did not end a command when it was told to")
            raise SandboxFailure("the sandbox broke: a command could not be ended") from error

    def _result(self, status: int, duration_ms: float) -> CommandResult:
        exit_code = status if status >= 0 else 128 - status
        if self._verdict is not None:
            ended, detail = self._verdict
        elif status < 0:
            ended, detail = CommandStatus.KILLED, signal.Signals(-status).name
        else:
            ended, detail = CommandStatus.OK, ""
        return CommandResult(status=ended, exit_code=exit_code, duration_ms=duration_ms, detail=detail)

    # -- files ---------------------------------------------------------------------------------------------------

    async def write_file(self, path: str, content: bytes) -> None:
        """Replace the file at this relative path, making its directories."""
        await self._file({"op": "write", "path": path}, memory_file(content))

    async def read_file(self, path: str, max_bytes: int) -> bytes:
        """The file at this relative path."""
        return await self._file({"op": "read", "path": path, "max": max_bytes}, memory_file(b""), max_bytes)

    async def list_files(self, path: str, max_entries: int) -> list[FileEntry]:
        """The directory at this relative path, by name."""
        content = await self._file({"op": "list", "path": path, "max": max_entries}, memory_file(b""), _MAX_LISTING)
        rows = cast("list[list[Any]]", json.loads(content))
        return [
            FileEntry(
                str(name).encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
                kind if kind in _KINDS else "other",
                int(size),
                float(modified),
            )
            for name, kind, size, modified in rows[:max_entries]
        ]

    async def _file(self, request: Message, descriptor: int, max_bytes: int = 0) -> bytes:
        """Have it done on a file in memory; what is in that file afterwards. Closes it."""
        try:
            try:
                reply = await asyncio.wait_for(self.channel.request(request, [descriptor]), _FILE_TIMEOUT_S)
            except TimeoutError as error:
                self.channel.close("it did not answer")
                raise SandboxFailure("the sandbox broke: it did not answer") from error
            if "error" in reply:
                raise FileRefused(_trouble(reply["error"]))
            return os.pread(descriptor, max_bytes, 0) if max_bytes else b""
        finally:
            os.close(descriptor)

    # -- ending --------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """End every process and forget every file; safe to call twice."""
        self._is_closed = True
        if self._is_busy and self._verdict is None:
            self._verdict = CommandStatus.CANCELLED, "the sandbox was destroyed"
        self.channel.close("it was destroyed")
        self._kill()
        if self._pidfd >= 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._gone), _KILL_WAIT_S)
        group, self._group = self._group, None
        if group is not None:
            await asyncio.to_thread(group.remove)

    def _on_broken(self, _: str) -> None:
        self._kill()

    def _kill(self) -> None:
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _on_end(self) -> None:
        """The first process is gone, and with it all others of its namespace."""
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        self._gone.set_result(None)
        self.channel.close("its first process ended")


def memory_file(content: bytes) -> int:
    """A descriptor of a new file in memory with this content, to be read from its beginning."""
    descriptor = os.memfd_create("content", os.MFD_CLOEXEC)
    data = memoryview(content)
    while data:
        data = data[os.write(descriptor, data) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _trouble(word: object) -> FileTrouble:
    return FileTrouble(word) if word in set(FileTrouble) else FileTrouble.REFUSED
