"""The host's way to a port in the guest: Firecracker's unix socket, and one line to say which port."""

import asyncio
import socket
from pathlib import Path

from skyscale.errors import SandboxFailure

PORT = 5252
"""Where the guest's daemon listens."""
_MAX_LINE = 32
_POLL_S = 0.01


async def connect(path: Path) -> socket.socket:
    """A connection to the daemon; tries until it listens, so the caller sets the deadline.

    Raises:
        SandboxFailure: what answers is not Firecracker.
    """
    while True:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.setblocking(False)
        try:
            if await _ask(line, path):
                return line
        except (FileNotFoundError, ConnectionError):
            pass  # not listening yet
        except BaseException:
            line.close()
            raise
        line.close()
        await asyncio.sleep(_POLL_S)


async def _ask(line: socket.socket, path: Path) -> bool:
    loop = asyncio.get_running_loop()
    await loop.sock_connect(line, str(path))
    await loop.sock_sendall(line, f"CONNECT {PORT}\n".encode())
    answer = b""
    while not answer.endswith(b"\n"):  # byte by byte: what follows the line is the daemon's
        piece = await loop.sock_recv(line, 1)
        if not piece:
            return False
        answer += piece
        if len(answer) > _MAX_LINE:
            break
    if not answer.startswith(b"OK ") or not answer[3:].strip().isdigit():
        raise SandboxFailure(f"the vsock socket answered {answer!r}")
    return True
