"""An interactive sandbox in a machine of its own, as seen from outside: the same contract behind another carrier.

- What comes out of the machine is claims: letters, lengths and sizes are checked, replies that nobody asked for are
  dropped, and a reply that cannot be read breaks the workspace.
- A program that is to end is killed by the machine's own first process on our word; if that is not done in
  `_KILL_WAIT_S` the whole machine is killed. Closing always kills the machine.
"""

import asyncio
import contextlib
import itertools
import json
import signal
from collections.abc import Callable
from typing import Any, Literal, cast

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.guest.mux import MuxReader, MuxViolation, pack
from skyscale.sandboxes.guest.sandbox import CLOSE_WAIT_S, Carrier
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

_KILL_WAIT_S = 8.0
_FILE_TIMEOUT_S = 30.0
_MAX_LISTING = 4 * 1024 * 1024
_PIECE = 256 * 1024
_STREAMS: dict[bytes, Literal["stdout", "stderr"]] = {b"O": "stdout", b"E": "stderr"}
_VERDICTS = {
    "memory": (CommandStatus.MEMORY, "more memory than its limit"),
    "processes": (CommandStatus.KILLED, "more processes than its limit"),
}
_KINDS = ("file", "directory", "link", "other")
_MAX_SIGNAL, _MAX_EXIT_CODE = 64, 255
Message = dict[str, Any]


class _Request:
    """One request under way."""

    def __init__(self, max_bytes: int) -> None:
        self.answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.content = bytearray()
        self.max_bytes = max_bytes


class GuestWorkspace:
    """Files and programs behind a kernel of their own."""

    def __init__(
        self, workspace_id: str, limits: WorkspaceLimits, connect: Callable[["GuestWorkspace"], Carrier]
    ) -> None:
        self.workspace_id = workspace_id
        self.layers: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        """What isolates it, by its own word before any program is in it."""
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._reader = MuxReader()
        self._sending = asyncio.Lock()
        self._requests: dict[str, _Request] = {}
        self._reading: _Request | None = None
        """Whose content comes next: files are read one after the other."""
        self._reads = asyncio.Lock()
        self._count = itertools.count(1)
        self._broken: str | None = None
        self._words = bytearray()
        self._sink: OutputSink | None = None
        self._left: dict[str, int] = {}
        self._verdict: tuple[CommandStatus, str] | None = None
        self._is_ending = asyncio.Event()
        self._is_closed = self._is_busy = False
        self._carrier = connect(self)

    async def make(self) -> dict[str, str]:
        """Have its first process made; the layers that isolate it. The caller sets the deadline."""
        await self._send({"op": "make", "disk_bytes": self._limits.disk_bytes})
        return await asyncio.shield(self.layers)

    @property
    def carried_id(self) -> str:
        """Names the machine."""
        return self.workspace_id

    @property
    def is_busy(self) -> bool:
        """Whether a command is running."""
        return self._is_busy

    @property
    def is_alive(self) -> bool:
        """Whether it can still be used."""
        return self._broken is None and not self._is_closed

    # -- told by the carrier -------------------------------------------------------------------------------------

    def on_channel(self, data: bytes) -> None:
        """Messages of the porter's; none at all is its end."""
        if self._broken is not None:
            return
        if not data:
            self._break(f"its machine ended: {bytes(self._words).decode('utf-8', 'replace')}".rstrip(": "))
            return
        try:
            for kind, body in self._reader.feed(data):
                self._take(kind, body)
        except (MuxViolation, ValueError, AttributeError, TypeError, RecursionError) as error:
            self._break(f"it does not speak the protocol: {str(error)[:200]}")

    def on_output(self, index: int, data: bytes) -> bool:
        """The machine's own last words; programs print elsewhere."""
        del index
        self._words = (self._words + data)[-300:]
        return True

    def on_exit(self, status: int | None) -> None:
        """The machine is gone."""
        self._break(f"its machine ended (status {status}): {bytes(self._words).decode('utf-8', 'replace')}")

    def on_violation(self, reason: str) -> None:
        """The machine does not speak the protocol, and was killed."""
        self._break(f"it does not speak the protocol: {reason}")

    def _take(self, kind: bytes, body: bytes) -> None:
        if kind in _STREAMS:
            self._print(_STREAMS[kind], body)
        elif kind == b"F" and self._reading is not None:
            self._reading.content += body
            if len(self._reading.content) > self._reading.max_bytes:
                raise MuxViolation("more than was asked for")
        elif kind == b"A":
            message = json.loads(body)
            request = self._requests.pop(str(message.get("id")), None)
            if request is not None and not request.answer.done():
                request.answer.set_result(message)
        elif kind == b"R" and not self.layers.done():
            self.layers.set_result({str(k): str(v) for k, v in json.loads(body).items()})
        elif kind == b"B":
            self._break(str(json.loads(body).get("broken"))[:300])

    def _print(self, name: Literal["stdout", "stderr"], data: bytes) -> None:
        if self._sink is None or self._verdict is not None:
            return
        left = self._left[name]
        if data[:left]:
            self._sink(name, data[:left])
        self._left[name] = left - len(data[:left])
        if len(data) > left:
            self._end_for(CommandStatus.OUTPUT_LIMIT, f"more than {self._limits.output_bytes} bytes of {name}")

    def _break(self, reason: str) -> None:
        if self._broken is not None:
            return
        self._broken = reason
        failure = SandboxFailure(f"the sandbox broke: {reason}")
        for future in (self.layers, *(request.answer for request in self._requests.values())):
            if not future.done():
                future.set_exception(failure)
                future.exception()  # nobody may be waiting any more, which is no fault
        self._requests.clear()
        self._carrier.kill()

    # -- commands ------------------------------------------------------------------------------------------------

    async def run(self, command: Command, on_output: OutputSink) -> CommandResult:
        """Run one command to its end; cancelling the call ends it."""
        if self._is_busy:
            raise WorkspaceBusy(f"sandbox {self.workspace_id} is running a command")
        self._is_busy, self._verdict, self._sink = True, None, on_output
        self._left = dict.fromkeys(_STREAMS.values(), self._limits.output_bytes)
        self._is_ending.clear()
        started = self._loop.time()
        try:
            reply = await self._run(command)
        except SandboxFailure:
            if not self._is_closed:
                raise
            reply = {"exited": -signal.SIGKILL}
        finally:
            self._is_busy, self._sink = False, None
        if "error" in reply:
            raise SandboxFailure(f"the program could not be started: {str(reply['error'])[:200]}")
        return self._result(reply, (self._loop.time() - started) * 1000)

    async def _run(self, command: Command) -> Message:
        code = command.code.encode()
        limits = {
            "memory_bytes": self._limits.memory_bytes, "cpu_s": self._limits.cpu_s,
            "disk_bytes": self._limits.disk_bytes, "max_processes": self._limits.max_processes,
        }  # fmt: skip
        ending = asyncio.create_task(self._is_ending.wait())
        exited: asyncio.Future[Message] | None = None
        try:
            async with asyncio.timeout(command.timeout_s):
                request = {"op": "run", "language": command.language, "limits": limits, "code_bytes": len(code)}
                exited = (await self._ask(request, code + command.stdin.encode())).answer
                await asyncio.wait([exited, ending], return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            self._end_for(CommandStatus.TIMEOUT, f"longer than {command.timeout_s:g} s")
        except asyncio.CancelledError:
            with contextlib.suppress(SandboxFailure):
                await asyncio.shield(self._killed(exited))
            raise
        finally:
            ending.cancel()
        if exited is None or not exited.done():
            return await self._killed(exited)
        return exited.result()

    async def _killed(self, exited: asyncio.Future[Message] | None) -> Message:
        """Have the command ended; break when that is not done in time."""
        try:
            async with asyncio.timeout(_KILL_WAIT_S):
                if exited is not None:
                    await self._send({"op": "kill"})
                    return await asyncio.shield(exited)
        except TimeoutError:
            pass  # broken, as a machine that did not even take the program is
        self._break("a command could not be ended")
        raise SandboxFailure("the sandbox broke: a command could not be ended")

    def _end_for(self, status: CommandStatus, detail: str) -> None:
        if self._verdict is None and self._is_busy:
            self._verdict = status, detail
            self._is_ending.set()

    def _result(self, reply: Message, duration_ms: float) -> CommandResult:
        status = reply.get("exited")
        if not isinstance(status, int) or not -_MAX_SIGNAL <= status <= _MAX_EXIT_CODE:
            status = -signal.SIGKILL
        verdict = self._verdict or _VERDICTS.get(str(reply.get("verdict")))
        if verdict is None:
            killed = (CommandStatus.KILLED, f"signal {-status}")
            with contextlib.suppress(ValueError):
                killed = CommandStatus.KILLED, signal.Signals(-status).name
            verdict = killed if status < 0 else (CommandStatus.OK, "")
        exit_code = status if status >= 0 else 128 - status
        return CommandResult(status=verdict[0], exit_code=exit_code, duration_ms=duration_ms, detail=verdict[1])

    # -- files ---------------------------------------------------------------------------------------------------

    async def write_file(self, path: str, content: bytes) -> None:
        """Replace the file at this relative path, making its directories."""
        await self._file({"op": "write", "path": path}, content, 0)

    async def read_file(self, path: str, max_bytes: int) -> bytes:
        """The file at this relative path."""
        return await self._file({"op": "read", "path": path, "max": max_bytes}, b"", max_bytes)

    async def list_files(self, path: str, max_entries: int) -> list[FileEntry]:
        """The directory at this relative path, by name."""
        content = await self._file({"op": "list", "path": path, "max": max_entries}, b"", _MAX_LISTING)
        try:
            rows = cast("list[list[Any]]", json.loads(content))
            return [_entry(*row) for row in rows[:max_entries]]
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            self._break("its listing cannot be read")
            raise SandboxFailure("the sandbox broke: its listing cannot be read") from error

    async def _file(self, request: Message, content: bytes, max_bytes: int) -> bytes:
        """Have it done inside; what was read."""
        try:
            async with asyncio.timeout(_FILE_TIMEOUT_S), self._reads:
                asked = await self._ask(request, content, max_bytes)
                reply = await asyncio.shield(asked.answer)
        except TimeoutError as error:
            self._break("it did not answer")
            raise SandboxFailure("the sandbox broke: it did not answer") from error
        finally:
            self._reading = None
        if "error" in reply:
            raise FileRefused(_trouble(reply["error"]))
        return bytes(asked.content)

    # -- requests ------------------------------------------------------------------------------------------------

    async def _ask(self, request: Message, data: bytes, max_bytes: int = 0) -> _Request:
        """Send; the request under way."""
        asked, request_id = _Request(max_bytes), f"{next(self._count):08d}"
        self._requests[request_id] = asked
        if max_bytes:
            self._reading = asked
        try:
            await self._send(request | {"id": request_id}, data)
        except BaseException:
            self._requests.pop(request_id, None)
            raise
        return asked

    async def _send(self, request: Message, data: bytes = b"") -> None:
        async with self._sending:
            if self._broken is not None or self._is_closed:
                raise SandboxFailure(f"the sandbox broke: {self._broken or 'it was destroyed'}")
            pieces = [pack(b"D", data[at : at + _PIECE]) for at in range(0, len(data), _PIECE)]
            pieces.append(pack(b"Q", json.dumps(request).encode()))
            try:
                for index, piece in enumerate(pieces):
                    await self._whole(piece, is_last=index == len(pieces) - 1)
            except OSError as error:
                self._break(f"it takes no request: {error}")
                raise SandboxFailure(f"the sandbox broke: {error}") from error

    async def _whole(self, piece: bytes, *, is_last: bool) -> None:
        """A message that is half sent when its sender is cancelled would garble all that follow."""
        try:
            await self._carrier.send(piece)
        except asyncio.CancelledError:
            self._break("a request was given up while it was sent" if not is_last else "a request was cut off")
            raise

    # -- ending --------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """End its machine; safe to call twice."""
        if self._is_busy and self._verdict is None:
            self._verdict = CommandStatus.CANCELLED, "the sandbox was destroyed"
        self._is_closed = True
        self._break("it was destroyed")
        async with asyncio.timeout(CLOSE_WAIT_S):
            await self._carrier.destroy()


def _entry(name: object, kind: object, size: object, modified: object) -> FileEntry:
    if not isinstance(size, int) or not isinstance(modified, int | float):
        raise TypeError("not a row of a listing")
    shown = str(name).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    known = next((word for word in _KINDS if word == kind), "other")
    return FileEntry(shown, cast("Literal['file', 'directory', 'link', 'other']", known), size, float(modified))


def _trouble(word: object) -> FileTrouble:
    return FileTrouble(word) if word in set(FileTrouble) else FileTrouble.REFUSED
