"""One single-use episode behind a carrier: its deadline, its answers, its end.

- The far side is pre-made: isolated, and blocked on its channel, before the sandbox is handed out.
- Deadlines are ours. When the time is up or a limit is passed the machine is killed; nothing inside is asked to stop.
- A carrier that breaks before the code has run is a SandboxFailure; what the code does to itself is an Execution.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.frames import Frame
from skyscale.sandboxes.guest.claims import Claims
from skyscale.sandboxes.programs import Programs
from skyscale.sandboxes.sandbox import CallResult, CallStatus, Execution, Limits

EXIT_WAIT_S = 3.0
"""From the end of the channel to the carrier's word on the exit status."""
CLOSE_WAIT_S = 20.0


class Carrier(Protocol):
    """How a sandbox's bytes travel, and how its machine ends. What it hears goes to the sandbox's `on_` methods."""

    async def send(self, data: bytes) -> None:
        """To the far side's channel. Raises OSError when it is gone."""
        ...

    def drain(self) -> None:
        """Deliver the output that has already arrived."""
        ...

    def kill(self) -> None:
        """Make the machine end now; returns at once, safe to call often."""
        ...

    async def destroy(self) -> None:
        """Kill, and return when nothing of it is left; safe to call twice."""
        ...


class Passenger(Protocol):
    """Whoever a carrier carries: told what comes out of the machine, never asked to wait."""

    @property
    def carried_id(self) -> str:
        """Names the machine."""
        ...

    def on_channel(self, data: bytes) -> None:
        """Bytes from the channel; none at all is its end."""
        ...

    def on_output(self, index: int, data: bytes) -> bool:
        """Bytes that were printed: 0 is stdout, 1 is stderr. Whether more is wanted."""
        ...

    def on_exit(self, status: int | None) -> None:
        """Its process is gone: exit code, minus the signal, or unknown."""
        ...

    def on_violation(self, reason: str) -> None:
        """The machine does not speak the protocol, and was killed."""
        ...


class GuestSandbox(Programs):
    """A single-use sandbox whose process lives behind a kernel of its own."""

    def __init__(
        self,
        sandbox_id: str,
        connect: Callable[["GuestSandbox"], Carrier],
        on_closed: Callable[["GuestSandbox"], None],
    ) -> None:
        self.sandbox_id = sandbox_id
        self.claims = Claims()
        self.failure: str | None = None
        """Why it is of no use, when our side of it broke."""
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        """Done when it waits for its job, or has failed (see `failure`)."""
        self._settled: asyncio.Future[None] = loop.create_future()
        self._exit: asyncio.Future[None] = loop.create_future()
        self._is_used = self._is_closed = False
        self._news: asyncio.Event | None = None
        self._on_closed = on_closed
        self._carrier = connect(self)

    # -- told by the carrier -------------------------------------------------------------------------------------

    @property
    def carried_id(self) -> str:
        """Names the machine."""
        return self.sandbox_id

    def on_channel(self, data: bytes) -> None:
        """Bytes of frames; none at all is the end of the channel."""
        if not data:
            self._settle()
            return
        if not self._settled.done():
            self.claims.take_channel(data)
        if self.claims.ended is not None and not self._is_used:
            self.broke(self.claims.end_detail)
        elif self.claims.layers:
            _finish(self.ready)
        if self._news is not None:
            self._news.set()
        self._settle_if_over()

    def introduced(self, layers: dict[str, str]) -> None:
        """It waits for its job; these layers isolate it."""
        self.claims.layers = dict(layers)
        _finish(self.ready)

    def on_output(self, index: int, data: bytes) -> bool:
        """Bytes that were printed: 0 is stdout, 1 is stderr. Whether more is wanted."""
        self.claims.take_output(index, data)
        self._settle_if_over()
        return self.claims.ended is not CallStatus.OUTPUT_LIMIT

    def on_exit(self, status: int | None) -> None:
        """Its process is gone: exit code, minus the signal, or unknown."""
        self.claims.exit_status = status if self.claims.exit_status is None else self.claims.exit_status
        _finish(self._exit)
        if not self._is_used and not self._is_closed:
            printed = bytes(self.claims.outputs[1][-300:]).decode("utf-8", "replace")
            self.broke(f"it ended while it waited (status {status}): {printed}")
        self._settle()

    def on_violation(self, reason: str) -> None:
        """The machine does not speak the protocol, and was killed."""
        self.claims.end(CallStatus.PROTOCOL_VIOLATION, reason)
        self.on_channel(b"")

    def broke(self, reason: str) -> None:
        """Our side of it is broken; whoever uses it gets a SandboxFailure."""
        self.failure = self.failure or reason
        for future in (self.ready, self._exit):
            _finish(future)
        self._settle()

    def _settle(self) -> None:
        _finish(self._settled)
        if self._news is not None:
            self._news.set()

    def _settle_if_over(self) -> None:
        if self.claims.ended is not None or self.claims.is_done:
            self._settle()

    # -- the contract --------------------------------------------------------------------------------------------

    async def run_calls(self, code: str, entry_point: str, arguments: list[str], limits: Limits) -> Execution:
        """Load `code` once, then call `entry_point` with each of `arguments` (encoded argument tuples)."""
        job = {
            "kind": "calls", "code": code, "entry_point": entry_point, "arguments": arguments,
            "result_bytes": limits.result_bytes,
        }  # fmt: skip
        duration_ms = await self._run(job, len(arguments), limits)
        return self.claims.execution_of_calls(len(arguments), duration_ms)

    async def run_program(self, code: str, stdin: str, limits: Limits) -> Execution:
        """Run `code` as a program with `stdin` as its input; its stdout is the result."""
        duration_ms = await self._run({"kind": "program", "code": code, "stdin": stdin}, 0, limits)
        return self.claims.execution_of_program(duration_ms)

    async def close(self) -> None:
        """Destroy it and every process in it; safe to call twice."""
        self._is_closed = True
        self._settle()
        async with asyncio.timeout(CLOSE_WAIT_S):
            await self._carrier.destroy()
        self._on_closed(self)

    async def _run(self, job: dict[str, Any], num_calls: int, limits: Limits) -> float:
        self._take(limits, max_frames=num_calls + 3)  # ready, loaded, done
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(limits.wall_s):
                await self._hand_over(job, limits)
                await self._settled
        except TimeoutError:
            self.claims.end(CallStatus.TIMEOUT, f"longer than {limits.wall_s:g} s")
        await self._conclude()
        return (loop.time() - started) * 1000

    # -- the half that talks (`Talking`) -------------------------------------------------------------------------

    @property
    def _said(self) -> Sequence[Frame]:
        return self.claims.frames

    @property
    def _verdict(self) -> tuple[CallStatus, str] | None:
        return None if self.claims.ended is None else (self.claims.ended, self.claims.end_detail)

    @property
    def _is_settled(self) -> bool:
        return self._settled.done()

    def _take(self, limits: Limits, max_frames: int) -> None:
        if self._is_used or self._is_closed:
            raise SandboxFailure("a sandbox is used once")
        self._is_used = True
        self.claims.ask(max_frames, limits)

    async def _hand_over(self, job: dict[str, Any], limits: Limits) -> None:
        job |= {
            "memory_bytes": limits.memory_bytes, "cpu_s": limits.cpu_s, "file_bytes": limits.tmp_bytes,
            "max_processes": limits.max_processes, "filtered": self.claims.layers.get("seccomp") == "yes",
        }  # fmt: skip
        try:
            await self._send(json.dumps(job).encode())
        except (BrokenPipeError, ConnectionResetError):  # no candidate's code has run yet: this is our failure
            self.broke("it ended before it took its job")

    async def _send(self, body: bytes) -> None:
        await self._carrier.send(len(body).to_bytes(4, "big") + body)

    async def _conclude(self) -> None:
        self._drain_outputs()
        if self.claims.ended is None and not self.claims.is_done:
            await self._explain_end()
        self._kill()
        if self.failure is not None or (self._is_closed and not self.claims.is_done):
            raise SandboxFailure(self.failure or "it was closed while it ran")

    def _end(self, status: CallStatus, detail: str) -> None:
        self.claims.end(status, detail)
        self._kill()
        self._settle()

    def _kill(self) -> None:
        self._carrier.kill()

    def _drain_outputs(self) -> None:
        self._carrier.drain()

    def _execution(
        self, status: CallStatus, detail: str, duration_ms: float, calls: list[CallResult], exit_code: int = 0
    ) -> Execution:
        return self.claims.execution(status, detail, duration_ms, calls, exit_code)

    async def _explain_end(self) -> None:
        await asyncio.wait([self._exit], timeout=EXIT_WAIT_S)
        self._carrier.drain()
        self.claims.explain_end()


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
