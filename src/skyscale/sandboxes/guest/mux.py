"""Several streams over one line to a virtual machine: one letter, a 4-byte big-endian length, that many bytes; pure.

    from a machine: R ready, S seeded, C channel, O stdout, E stderr, X exit        to it: S identity, C channel
    from a porter:  R layers, O, E output, F content, A answer, B broken            to it: D data, Q request

The machine's kernel may be in the hands of the code it ran: letters and lengths are checked, bodies are claims.
"""

KINDS = frozenset(b"RSCOEXAFB")
MAX_BODY = 1024 * 1024


class MuxViolation(Exception):
    """The machine does not speak the protocol."""


def pack(kind: bytes, body: bytes) -> bytes:
    """One message."""
    return kind + len(body).to_bytes(4, "big") + body


class MuxReader:
    """Bytes in, messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """The messages that these bytes complete, as letter and body.

        Raises:
            MuxViolation: an unknown letter, or a body that is too long.
        """
        self._buffer += data
        messages: list[tuple[bytes, bytes]] = []
        while len(self._buffer) >= 5:
            size = int.from_bytes(self._buffer[1:5], "big")
            if self._buffer[0] not in KINDS or size > MAX_BODY:
                raise MuxViolation("not a message of the guest's daemon")
            if len(self._buffer) < 5 + size:
                break
            messages.append((bytes(self._buffer[:1]), bytes(self._buffer[5 : 5 + size])))
            del self._buffer[: 5 + size]
        return messages
