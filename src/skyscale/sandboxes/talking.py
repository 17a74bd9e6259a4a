"""Sandboxes that are talked with while their code runs: the two ends of a proxied test, seen from outside.

- Texts are relayed, bounded and never decoded. A frame that was not asked for is a violation.
- One deadline covers the checker's whole run, the candidate's calls included; loading the candidate has its own.
- A candidate that ended, timed out or lied ends the tests: the checker is not told, so no test code can forgive it.
- The same for every backend: a backend says how bytes travel and how a sandbox ends.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.frames import Frame
from skyscale.sandboxes.sandbox import Answer, CallResult, CallStatus, Execution, Limits

MAX_FRAMES = 200_000
"""Of one end of a proxied test: calls, or asks and test results."""
_BY_ITSELF = (CallStatus.OK, CallStatus.EXCEPTION, CallStatus.MEMORY, CallStatus.UNSUPPORTED_VALUE)


class Talking(ABC):
    """The half of a `TalkingSandbox` that does not depend on where its process lives."""

    failure: str | None
    """Why it is of no use, when our side of it broke."""
    _news: asyncio.Event | None
    """Set at each frame and at the end, for whoever talks while the code runs; made here."""
    _cursor = 0

    # -- what a backend adds -------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def _said(self) -> Sequence[Frame]:
        """Every frame since the job was taken."""

    @property
    @abstractmethod
    def _verdict(self) -> tuple[CallStatus, str] | None:
        """How it ended, in our words, with the reason; None while it has not."""

    @property
    @abstractmethod
    def _is_settled(self) -> bool:
        """Whether no frame will follow."""

    @abstractmethod
    def _take(self, limits: Limits, max_frames: int) -> None:
        """Take the one job of this sandbox; raises SandboxFailure when it has had it."""

    @abstractmethod
    async def _hand_over(self, job: dict[str, Any], limits: Limits) -> None:
        """Send the job, with its limits."""

    @abstractmethod
    async def _send(self, body: bytes) -> None:
        """One message to its channel; raises OSError when it is gone."""

    @abstractmethod
    async def _explain_end(self) -> None:
        """It closed its channel: find out why, and state it."""

    @abstractmethod
    async def _conclude(self) -> None:
        """Say how it ended, collect what it printed, end it."""

    @abstractmethod
    def _end(self, status: CallStatus, detail: str) -> None:
        """State how it ended and kill it; the first statement stands."""

    @abstractmethod
    def _kill(self) -> None:
        """End it now."""

    @abstractmethod
    def _drain_outputs(self) -> None:
        """Take in what it has printed so far."""

    @abstractmethod
    def _execution(
        self, status: CallStatus, detail: str, duration_ms: float, calls: list[CallResult], exit_code: int = 0
    ) -> Execution:
        """The result, with what it printed."""

    # -- the contract --------------------------------------------------------------------------------------------

    async def load(self, code: str, entry_point: str, limits: Limits) -> CallResult:
        """Load `code` and keep `entry_point` ready to be called."""
        job = {"kind": "serve", "code": code, "entry_point": entry_point, "result_bytes": limits.result_bytes}
        self._begin(limits)
        frame = None
        try:
            async with asyncio.timeout(limits.wall_s):
                await self._hand_over(job, limits)
                frame = await self._next_frame()
        except TimeoutError:
            self._end(CallStatus.TIMEOUT, f"longer than {limits.wall_s:.3g} s")
        return await self._answered(frame, "loaded")

    async def call(self, arguments: str) -> CallResult:
        """Call it; the deadline is the caller's."""
        if self._verdict is None:
            if self._cursor < len(self._said):
                self._end(CallStatus.PROTOCOL_VIOLATION, "spoke before it was asked")
            else:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # `_answered` finds out why
                    await self._send(arguments.encode())
        return await self._answered(await self._next_frame(), "call")

    async def run_tests(
        self, source: str, entry_point: str, num_tests: int, limits: Limits, *, answer: Answer | None, code: str = ""
    ) -> Execution:
        """Run marked test code; `calls` of the result are the tests, in order."""
        job = {
            "kind": "check", "source": source, "code": None if answer else code, "entry_point": entry_point,
            "result_bytes": limits.result_bytes,
        }  # fmt: skip
        loop = asyncio.get_running_loop()
        started = loop.time()
        self._begin(limits)
        results: dict[int, CallResult] = {}
        broken: CallResult | None = None
        try:
            async with asyncio.timeout(limits.wall_s):
                await self._hand_over(job, limits)
                broken = await self._converse(answer, results, num_tests)
        except TimeoutError:
            self._end(CallStatus.TIMEOUT, f"longer than {limits.wall_s:.3g} s")
        if broken is None:
            await self._conclude()
        else:
            self._kill()
        rest = broken or self._unreached()
        calls = [results.get(index, rest) for index in range(num_tests)]
        status = rest.status if self._verdict or broken else CallStatus.OK
        return self._execution(status, rest.detail, (loop.time() - started) * 1000, calls)

    async def finish(self) -> Execution:
        """End the candidate's end; what it printed."""
        self._drain_outputs()
        self._kill()
        status, detail = self._verdict or (CallStatus.OK, "")
        return self._execution(status, detail, 0.0, [])

    async def _converse(
        self, answer: Answer | None, results: dict[int, CallResult], num_tests: int
    ) -> CallResult | None:
        """Relay until the test code ends (None), or the candidate did what no test may forgive."""
        while (frame := await self._next_frame()) is not None:
            if frame.kind == "ask" and answer is not None:
                reply = await answer(frame.value)
                if reply.status not in _BY_ITSELF:
                    return reply
                text = f"{reply.status}\n{reply.detail}\n{reply.value}"
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    await self._send(text.encode())
            elif frame.kind == "test" and frame.value.isdecimal() and int(frame.value[:9]) < num_tests:
                _note(results, int(frame.value[:9]), CallResult(frame.status, detail=frame.detail))
            elif frame.kind not in ("loaded", "done"):
                self._end(CallStatus.PROTOCOL_VIOLATION, "not a frame of a test")
        return None

    def _unreached(self) -> CallResult:
        """What is to be said of tests without a result."""
        if self._verdict is not None:
            status, detail = self._verdict
            return CallResult(status, detail=detail)
        last = self._said[-1] if self._said else None
        if last is None or last.status == CallStatus.OK:
            return CallResult(CallStatus.EXCEPTION, detail="not reached")
        return CallResult(last.status, detail=last.detail or "not reached")

    # -- frames --------------------------------------------------------------------------------------------------

    def _begin(self, limits: Limits) -> None:
        self._take(limits, max_frames=MAX_FRAMES)
        self._news = asyncio.Event()

    async def _next_frame(self) -> Frame | None:
        """The next frame; None when there will be none."""
        assert self._news is not None
        while self._cursor >= len(self._said):
            if self._is_settled:
                return None
            self._news.clear()
            await self._news.wait()
        self._cursor += 1
        return self._said[self._cursor - 1]

    async def _answered(self, frame: Frame | None, kind: str) -> CallResult:
        if self.failure is not None:
            raise SandboxFailure(self.failure)
        if frame is None and self._verdict is None:
            await self._explain_end()
        elif frame is not None and frame.kind != kind and self._verdict is None:
            self._end(CallStatus.PROTOCOL_VIOLATION, "not the frame that was due")
        if self._verdict is not None or frame is None:
            status, detail = self._verdict or (CallStatus.PROTOCOL_VIOLATION, "")
            return CallResult(status, detail=detail)
        return CallResult(frame.status, frame.value, frame.detail)


def _note(results: dict[int, CallResult], index: int, result: CallResult) -> None:
    """The first failure of a test stands; a test in a loop passes when every pass does."""
    known = results.get(index)
    if known is None or known.status == CallStatus.OK:
        results[index] = result
