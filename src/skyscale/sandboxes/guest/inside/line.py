"""Messages over one descriptor, inside: one letter, a 4-byte big-endian length, that many bytes."""

import os
import time

_CHUNK = 32 * 1024
_PAUSE_S = 0.01
_MAX_MESSAGE = 64 * 1024 * 1024


class Line:
    """Messages over one descriptor that blocks."""

    is_patient = False
    """Whether reading nothing means that the host is away for a moment, rather than gone."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def send(self, kind: bytes, body: bytes) -> None:
        """One message; waits for the host to take it."""
        data = memoryview(kind + len(body).to_bytes(4, "big") + body)
        while data:
            data = data[os.write(self.descriptor, data) :]

    def receive(self) -> tuple[bytes, bytes]:
        """The next message; empty when the host is gone."""
        header = self._exactly(5)
        size = int.from_bytes(header[1:], "big")
        if not header or size > _MAX_MESSAGE:
            return b"", b""
        return header[:1], self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = os.read(self.descriptor, min(_CHUNK, size - len(data)))
            if not piece and not self.is_patient:
                return b""
            if not piece:
                time.sleep(_PAUSE_S)
            data += piece
        return bytes(data)

    def wait_for_host(self) -> None:
        """After the host hung up."""
        time.sleep(_PAUSE_S)
