"""What one episode has claimed so far and how it ended; pure.

- The inside only claims values. Timeouts, kills, output limits and violations are stated here by us; the first
  statement stands.
- Calls that were never answered repeat the status that prevented them.
"""

import json
import signal
from dataclasses import dataclass, field

from skyscale.sandboxes.frames import Frame, FrameReader, FrameViolation
from skyscale.sandboxes.sandbox import CallResult, CallStatus, Execution, Limits


@dataclass(slots=True)
class Claims:
    """The record of one episode."""

    layers: dict[str, str] = field(default_factory=dict[str, str])
    """The isolation that the inside reported before any foreign code was in it."""
    frames: list[Frame] = field(default_factory=list[Frame])
    ended: CallStatus | None = None
    end_detail: str = ""
    exit_status: int | None = None
    """Exit code, or minus the signal, once known."""
    outputs: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))
    output_limit: int = 64 * 1024
    is_asked: bool = False
    _reader: FrameReader = field(default_factory=FrameReader)

    def ask(self, max_frames: int, limits: Limits) -> None:
        """From here on frames answer a job."""
        self.is_asked = True
        self._reader.max_value = limits.result_bytes
        self._reader.max_frames = max_frames
        self.output_limit = limits.output_bytes

    def take_channel(self, data: bytes) -> None:
        """Bytes from the channel."""
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except (FrameViolation, ValueError, AttributeError, RecursionError) as error:
            self.end(CallStatus.PROTOCOL_VIOLATION, str(error))

    def _take(self, frame: Frame) -> None:
        if not self.layers:
            self.layers = {str(k): str(v) for k, v in json.loads(frame.value).items()}
        elif not self.is_asked:
            raise FrameViolation("spoke before it was asked")
        elif not self.is_done:
            self.frames.append(frame)

    def take_output(self, index: int, data: bytes) -> None:
        """Bytes that it printed: 0 is stdout, 1 is stderr. More than the limit ends it."""
        buffer = self.outputs[index]
        buffer += data[: self.output_limit + 1 - len(buffer)]
        if len(buffer) > self.output_limit:
            self.end(CallStatus.OUTPUT_LIMIT, f"more than {self.output_limit} bytes of output")

    def end(self, status: CallStatus, detail: str) -> None:
        """State how it ended; the first statement stands."""
        if self.ended is None:
            self.ended, self.end_detail = status, detail

    def explain_end(self) -> None:
        """The channel closed before `done`: what the exit status has to say."""
        if self.exit_status is None:
            self.end(CallStatus.PROTOCOL_VIOLATION, "closed its channel")
        elif self.exit_status < 0:
            self.end(CallStatus.KILLED, signal_name(-self.exit_status))
        else:
            self.end(CallStatus.KILLED, f"the process ended itself with exit code {self.exit_status}")

    @property
    def is_done(self) -> bool:
        """Whether the inside has said its last word."""
        last = self.frames[-1] if self.frames else None
        return last is not None and (last.kind == "done" or (last.kind == "loaded" and last.status != CallStatus.OK))

    def execution_of_calls(self, num_calls: int, duration_ms: float) -> Execution:
        """The outcome of a job of calls."""
        loaded = next((f for f in self.frames if f.kind == "loaded"), None)
        missing = CallResult(self.ended or CallStatus.PROTOCOL_VIOLATION, detail=self.end_detail or "no answer")
        if loaded is None or loaded.status != CallStatus.OK:
            missing = missing if loaded is None else CallResult(loaded.status, detail=loaded.detail)
            status, detail, frames = missing.status, missing.detail, []
        else:
            status, detail = CallStatus.OK, self.end_detail
            frames = [f for f in self.frames if f.kind == "call"][:num_calls]
        calls = [CallResult(f.status, f.value if f.status == CallStatus.OK else "", f.detail) for f in frames]
        calls += [missing] * (num_calls - len(calls))
        return self.execution(status, detail, duration_ms, calls, 0)

    def execution_of_program(self, duration_ms: float) -> Execution:
        """The outcome of a program; leaving by `os._exit` is its right."""
        done = next((f for f in self.frames if f.kind == "done"), None)
        if self.ended is None and done is not None:
            exit_code = int(done.value) if done.value.isdecimal() and len(done.value) < 4 else 1
            return self.execution(done.status, done.detail, duration_ms, [], exit_code)
        status, exit_code = self.ended or CallStatus.PROTOCOL_VIOLATION, self.exit_status
        if status == CallStatus.KILLED and exit_code is not None and exit_code >= 0:
            status = CallStatus.OK if exit_code == 0 else CallStatus.EXCEPTION
        return self.execution(status, self.end_detail, duration_ms, [], 1 if exit_code is None else exit_code)

    def execution(
        self, status: CallStatus, detail: str, duration_ms: float, calls: list[CallResult], exit_code: int
    ) -> Execution:
        """The outcome in these words, with what was printed."""
        stdout, stderr = (bytes(b[: self.output_limit]).decode("utf-8", "replace") for b in self.outputs)
        return Execution(
            status=status, calls=calls, stdout=stdout, stderr=stderr, exit_code=exit_code, detail=detail,
            duration_ms=duration_ms,
        )  # fmt: skip


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; numbers without a name as they are."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
