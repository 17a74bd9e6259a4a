"""QEMU's machine protocol: one JSON object per line, over a socket that it was started with."""

import asyncio
import json
import socket
from typing import Any

from skyscale.errors import SandboxFailure

_POLL_S = 0.01


class Qmp:
    """The control of one QEMU process. Callers set the deadlines."""

    def __init__(self, control: socket.socket) -> None:
        self._socket = control

    async def open(self) -> None:
        """Greet."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._socket)
        await self._message()
        await self.execute("qmp_capabilities")

    async def execute(self, command: str, **arguments: object) -> dict[str, Any]:
        """One command and its answer; events in between are passed over.

        Raises:
            SandboxFailure: QEMU refuses it, or has ended.
        """
        self._writer.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            message = await self._message()
            if "error" in message:
                raise SandboxFailure(f"QEMU refuses {command}: {message['error'].get('desc')}")
            if "return" in message:
                return message["return"]

    async def until(self, command: str, wanted: str, refused: str = "failed") -> None:
        """Ask until its status is `wanted`."""
        while (status := (await self.execute(command)).get("status")) != wanted:
            if status == refused:
                raise SandboxFailure(f"QEMU's {command} says {status}")
            await asyncio.sleep(_POLL_S)

    async def _message(self) -> dict[str, Any]:
        try:
            line = await self._reader.readline()
        except (ConnectionError, ValueError) as error:  # the second: a line beyond every bound
            raise SandboxFailure(f"QEMU's control failed: {error}") from error
        if not line:
            raise SandboxFailure("QEMU ended")
        return json.loads(line)

    def close(self) -> None:
        """Let go of the socket."""
        if hasattr(self, "_writer"):
            self._writer.close()
        else:
            self._socket.close()
