"""Frames from the episode, cut out of a byte stream that may be hostile; pure.

A frame is a 4-byte big-endian length and `kind\nstatus\ndetail\nvalue` in UTF-8. Nothing in it is trusted: lengths are
bounded, unknown words are violations, the value is text that only gets compared.
"""

from typing import NamedTuple

from skyscale.sandboxes.sandbox import CallStatus

KINDS = frozenset({"ready", "loaded", "call", "ask", "test", "ran", "done"})
CLAIMABLE = {
    status.value: status
    for status in (
        CallStatus.OK, CallStatus.EXCEPTION, CallStatus.MEMORY, CallStatus.UNSUPPORTED_VALUE,
        CallStatus.NO_ENTRY_POINT, CallStatus.SYNTAX_ERROR,
    )
}  # fmt: skip
"""What the inside may say of itself; timeouts, kills and violations are ours to state."""
_OVERHEAD = 1024
MAX_DETAIL = 200
MAX_BYTES = 16 * 1024 * 1024
"""Of all frames of an episode: what one submission can make the control plane hold."""


class Frame(NamedTuple):
    """One claim of the episode."""

    kind: str
    status: CallStatus
    detail: str
    value: str


class FrameViolation(Exception):
    """The episode's process does not speak the protocol."""


class FrameReader:
    """Bytes in, frames out."""

    def __init__(self) -> None:
        self.max_value = 64 * 1024
        self.max_frames = 1
        self._num_frames = 0
        self._num_bytes = 0
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete.

        Raises:
            FrameViolation: too long, not text, or not in the vocabulary.
        """
        self._num_bytes += len(data)
        if self._num_bytes > MAX_BYTES:
            raise FrameViolation(f"more than {MAX_BYTES} bytes of results")
        if not self._buffer:  # nearly always: what comes in one piece is cut where it is
            frames, used = self._cut(data)
            self._buffer += data[used:]
            return frames
        self._buffer += data
        frames, used = self._cut(self._buffer)
        del self._buffer[:used]
        return frames

    def _cut(self, data: bytes | bytearray) -> tuple[list[Frame], int]:
        """The whole frames that these bytes begin with, and how many bytes those are."""
        frames: list[Frame] = []
        begin, longest = 4, self.max_value + _OVERHEAD
        while begin <= len(data):
            size = int.from_bytes(data[begin - 4 : begin], "big")
            if size > longest:
                raise FrameViolation("frame too long")
            if begin + size > len(data):
                break
            self._num_frames += 1
            if self._num_frames > self.max_frames:
                raise FrameViolation("too many frames")
            frames.append(_parsed(bytes(data[begin : begin + size])))
            begin += size + 4
        return frames, begin - 4


def _parsed(payload: bytes) -> Frame:
    try:
        parts = payload.decode("utf-8").split("\n", 3)
    except UnicodeDecodeError as error:
        raise FrameViolation("frame is not text") from error
    if len(parts) != 4 or parts[0] not in KINDS or parts[1] not in CLAIMABLE:
        raise FrameViolation("unknown frame")
    detail = parts[2][:MAX_DETAIL]
    if not detail.isprintable():
        detail = "".join(c if c.isprintable() else "?" for c in detail)
    return Frame(parts[0], CLAIMABLE[parts[1]], detail, parts[3])
