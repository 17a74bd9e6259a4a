"""One program run on many inputs in one sandbox, seen from outside.

- Each run has the deadline of a single one; a run that passes it ends the sandbox, and the runs after it never happen.
- A sandbox may stop after any run and say so: the others are for the next sandbox.
- Status and printed text are claims; signals, limits and deadlines are stated here.
"""

import asyncio
import signal
from collections.abc import Sequence

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.frames import Frame
from skyscale.sandboxes.sandbox import CallStatus, Execution, Limits
from skyscale.sandboxes.talking import Talking

_MAX_SIGNAL, _MAX_EXIT_CODE = 64, 255


class Programs(Talking):
    """A sandbox whose far side runs a program as often as it is asked to, every time as if it were the first."""

    async def run_programs(self, code: str, stdins: Sequence[str], limits: Limits) -> list[Execution]:
        """Run `code` once per input: at least one result, fewer than inputs when the sandbox ended with a run."""
        job = {"kind": "programs", "code": code, "stdins": list(stdins), "output_bytes": limits.output_bytes}
        self._begin(limits)
        clock = asyncio.get_running_loop().time
        results: list[Execution] = []
        has_stopped = False
        began = clock()
        try:
            async with asyncio.timeout(limits.wall_s) as deadline:
                await self._hand_over(job, limits)
                while len(results) < len(stdins) and (frame := await self._next_frame()) is not None:
                    if frame.kind != "ran":
                        has_stopped = frame.kind == "done" and bool(results)
                        break
                    results.append(_execution(frame, limits, (clock() - began) * 1000))
                    began = clock()
                    deadline.reschedule(began + limits.wall_s)
        except TimeoutError:
            self._end(CallStatus.TIMEOUT, f"longer than {limits.wall_s:.3g} s")
        if self.failure is not None:
            raise SandboxFailure(self.failure)
        if len(results) < len(stdins) and not has_stopped:
            results.append(await self._ending((clock() - began) * 1000))
        self._kill()
        return results

    async def _ending(self, duration_ms: float) -> Execution:
        """What became of the run that has no result: the code is no program, or the sandbox ended."""
        await self._conclude()
        last = self._said[-1] if self._said else None
        if self._verdict is None and last is not None and last.status is CallStatus.SYNTAX_ERROR:
            return self._execution(last.status, last.detail, duration_ms, [], 1)
        status, detail = self._verdict or (CallStatus.PROTOCOL_VIOLATION, "no result")
        return self._execution(status, detail, duration_ms, [], 1)


def _execution(frame: Frame, limits: Limits, duration_ms: float) -> Execution:
    """One run, from the claims of the process that watched over it."""
    try:
        numbers, printed = frame.value.split("\n", 1)
        exit_code, length = map(int, numbers.split(","))
        if not -_MAX_SIGNAL <= exit_code <= _MAX_EXIT_CODE or not 0 <= length <= len(printed):
            raise ValueError("not an exit code and a length")
        stdout, stderr = printed[:length], printed[length:]
        texts = [stdout[: limits.output_bytes], stderr[: limits.output_bytes]]
        is_flood = max(len(each.encode("utf-8", "replace")) for each in (stdout, stderr)) > limits.output_bytes
        status, detail = frame.status, frame.detail
        if is_flood:
            status, detail = CallStatus.OUTPUT_LIMIT, f"more than {limits.output_bytes} bytes of output"
        elif exit_code < 0:
            status, detail = CallStatus.KILLED, detail or signal.Signals(-exit_code).name
    except ValueError:
        status, detail, exit_code, texts = CallStatus.PROTOCOL_VIOLATION, "not the result of a run", 1, ["", ""]
    return Execution(
        status=status, stdout=texts[0], stderr=texts[1], exit_code=exit_code, detail=detail, duration_ms=duration_ms
    )
