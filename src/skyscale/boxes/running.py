"""One program that runs in a sandbox, as the service and its callers see it: output events, then one result.

It goes on until it ends, its deadline ends it, or whoever waits for it goes away.
"""

import asyncio
import codecs
from collections.abc import AsyncGenerator, Callable
from typing import Literal

from skyscale.errors import SkyscaleError
from skyscale.sandboxes.workspace import Command, CommandResult, Workspace
from skyscale.wire.base import new_id
from skyscale.wire.sandboxes import ExecEvent, ExecReply

Name = Literal["stdout", "stderr"]


class Running:
    """A program in a sandbox."""

    def __init__(self, workspace: Workspace, command: Command, on_end: Callable[[], None]) -> None:
        self.exec_id = new_id("ex")
        self._events: asyncio.Queue[tuple[Name, str] | None] = asyncio.Queue()
        # Replaces what is not UTF-8, and keeps characters whole that come in two pieces.
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")}
        self._on_end = on_end
        self._task = asyncio.get_running_loop().create_task(self._run(workspace, command))

    async def _run(self, workspace: Workspace, command: Command) -> CommandResult:
        try:
            return await workspace.run(command, self._on_output)
        finally:
            for name in ("stdout", "stderr"):
                self._put(name, self._decoders[name].decode(b"", final=True))
            self._events.put_nowait(None)
            self._on_end()

    def _on_output(self, name: Name, data: bytes) -> None:
        self._put(name, self._decoders[name].decode(data))

    def _put(self, name: Name, text: str) -> None:
        if text:
            self._events.put_nowait((name, text))

    async def result(self) -> ExecReply:
        """All of it at once. Cancelling the call ends the program."""
        texts: dict[Name, list[str]] = {"stdout": [], "stderr": []}
        try:
            while (event := await self._events.get()) is not None:
                texts[event[0]].append(event[1])
            return self._reply(await self._task, "".join(texts["stdout"]), "".join(texts["stderr"]))
        finally:
            await self.end()

    async def events(self) -> AsyncGenerator[ExecEvent]:
        """Output as it comes, then the result. Closing the generator ends the program."""
        try:
            while (event := await self._events.get()) is not None:
                yield ExecEvent(type=event[0], data=event[1])
            try:
                yield ExecEvent(type="end", result=self._reply(await self._task, "", ""))
            except SkyscaleError as error:
                yield ExecEvent(type="error", data=error.detail)
        finally:
            await self.end()

    async def end(self) -> None:
        """End the program, if it has not ended."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _reply(self, result: CommandResult, stdout: str, stderr: str) -> ExecReply:
        return ExecReply(
            exec_id=self.exec_id, status=result.status.value, stdout=stdout, stderr=stderr,
            exit_code=result.exit_code, duration_ms=round(result.duration_ms, 3), detail=result.detail,
        )  # fmt: skip
