"""One episode seen from outside: its channel, its output pipes, its pidfd, its deadline.

- The sandbox is pre-made: the process is isolated and blocks on the channel before it is handed out; used once.
- It only claims values. How it ended (timeout, kill, output limit, violation) is stated here, never by the inside.
- `close` kills by pidfd; the process is the init of its PID namespace, so everything in it dies with it.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.frames import Frame, FrameReader, FrameViolation
from skyscale.sandboxes.sandbox import CallResult, CallStatus, Execution, Limits

_CHUNK = 65536
_EXIT_WAIT_S = 2.0
"""From the end of the channel to the zygote's word on the exit status; normally a millisecond."""
_LISTEN_AFTER_S = 0.02
"""Most programs have ended by then; what they printed waits in the pipes, which hold as much as may be printed."""


@lru_cache(maxsize=16)
def _layers(text: str) -> dict[str, str]:
    return json.loads(text)  # the same for nearly all sandboxes of a zygote


class ProcessSandbox:
    """A single-use process in namespaces of its own."""

    def __init__(self, sandbox_id: str, on_ready: Callable[["ProcessSandbox"], None]) -> None:
        self.sandbox_id = sandbox_id
        self.layers: dict[str, str] = {}
        self.pid = 0
        self.failure: str | None = None
        """Why it is of no use, when our side of it broke."""
        self._on_ready = on_ready
        self._loop = asyncio.get_running_loop()
        self._channel, channel = socket.socketpair()
        self._channel.setblocking(False)
        out_read, out_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        err_read, err_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for descriptor in (out_write, err_write):
            os.set_blocking(descriptor, True)
        self._outputs = {out_read: bytearray(), err_read: bytearray()}
        self._output_limit = 64 * 1024
        self.child_ends = [channel.detach(), out_write, err_write]
        self._reader = FrameReader()
        self._pidfd = -1
        self._frames: list[Frame] = []
        self._news: asyncio.Event | None = None
        """Set at each frame and at the end, for whoever talks while the code runs."""
        self._ended: CallStatus | None = None
        self._end_detail = ""
        self._settled: asyncio.Future[None] = self._loop.create_future()
        self._exit: asyncio.Future[int] = self._loop.create_future()
        self._is_ready = self._is_used = self._is_closed = self._is_listening = False
        self._listening: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._channel.fileno(), self._on_channel)

    # -- told by the link ----------------------------------------------------------------------------------------

    def close_child_ends(self) -> None:
        """The child has them now; ours would keep the pipes open for ever."""
        for descriptor in self.child_ends:
            os.close(descriptor)
        self.child_ends = []

    def spawned(self, pid: int, pidfd: int) -> None:
        """Its process exists."""
        self.pid, self._pidfd = pid, pidfd
        if self._is_closed:
            self._kill()
        self._hand_out_when_complete()

    def exited(self, status: int) -> None:
        """Its process is gone: exit code, or minus the signal."""
        if not self._exit.done():
            self._exit.set_result(status)
        self._close_pidfd()
        if not self._is_ready:
            self.broke(f"it ended while it was made ready (status {status}): {self._text(1)[:300]}")
        elif not self._is_used and not self._is_closed:
            self.broke(f"it ended while it waited (status {status})")

    def broke(self, reason: str) -> None:
        """Our side of it is broken; whoever uses it gets a SandboxFailure."""
        self.failure = self.failure or reason
        if not self._exit.done():
            self._exit.set_result(-signal.SIGKILL)
        self._kill()
        self._close_pidfd()
        self._settle()
        if not self._is_ready:
            self._is_ready = True
            self._on_ready(self)

    # -- the contract --------------------------------------------------------------------------------------------

    async def run_calls(self, code: str, entry_point: str, arguments: list[str], limits: Limits) -> Execution:
        """Load `code` once, then call `entry_point` with each of `arguments` (encoded argument tuples)."""
        job = {
            "kind": "calls", "code": code, "entry_point": entry_point, "arguments": arguments,
            "result_bytes": limits.result_bytes,
        }  # fmt: skip
        duration_ms = await self._run(job, limits)
        return self._execution_of_calls(len(arguments), duration_ms)

    async def run_program(self, code: str, stdin: str, limits: Limits) -> Execution:
        """Run `code` as a program with `stdin` as its input; its stdout is the result."""
        duration_ms = await self._run({"kind": "program", "code": code, "stdin": stdin}, limits)
        return await self._execution_of_program(duration_ms)

    async def close(self) -> None:
        """Destroy it and every process in it; safe to call twice."""
        self.end()
        if not self._exit.done():
            await asyncio.wait((self._exit,), timeout=_EXIT_WAIT_S)

    # -- running -------------------------------------------------------------------------------------------------

    async def _run(self, job: dict[str, Any], limits: Limits) -> float:
        started = self._loop.time()
        self._take(limits, max_frames=len(job.get("arguments", ())) + 3)  # ready, loaded, done
        try:
            async with asyncio.timeout(limits.wall_s):
                await self._hand_over(job, limits)
                await self._settled
        except TimeoutError:
            self._end(CallStatus.TIMEOUT, f"longer than {limits.wall_s:.3g} s")
        await self._conclude()
        return (self._loop.time() - started) * 1000

    def _take(self, limits: Limits, max_frames: int) -> None:
        if self._is_used or self._is_closed:
            raise SandboxFailure("a sandbox is used once")
        self._is_used = True
        self._reader.max_value = limits.result_bytes
        self._reader.max_frames = max_frames
        self._output_limit = limits.output_bytes
        self._listening = self._loop.call_later(_LISTEN_AFTER_S, self._listen)

    def _listen(self) -> None:
        """From now on take in what it prints as it comes: it may be more than a pipe holds."""
        self._is_listening = True
        for descriptor in self._outputs:
            self._loop.add_reader(descriptor, self._on_output, descriptor)

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        if self._is_listening:
            self._is_listening = False
            for descriptor in self._outputs:
                self._loop.remove_reader(descriptor)

    async def _conclude(self) -> None:
        """Say how it ended, collect what it printed, end it."""
        if self.failure is not None:
            raise SandboxFailure(self.failure)
        if self._ended is None and not self._is_done():
            await self._explain_end()
        self._drain_outputs()
        self._kill()

    async def _hand_over(self, job: dict[str, Any], limits: Limits) -> None:
        job |= {
            "memory_bytes": limits.memory_bytes, "cpu_s": limits.cpu_s, "file_bytes": limits.tmp_bytes,
            "max_processes": limits.max_processes, "filtered": self.layers.get("seccomp") == "yes",
        }  # fmt: skip
        try:
            await self._send(json.dumps(job).encode())
        except (BrokenPipeError, ConnectionResetError):  # no candidate's code has run yet: this is our failure
            self.broke("it ended before it took its job")

    async def _send(self, body: bytes) -> None:
        await self._loop.sock_sendall(self._channel, len(body).to_bytes(4, "big") + body)

    async def _explain_end(self) -> None:
        """The channel ended without `done`: what the exit status has to say."""
        await asyncio.wait((self._exit,), timeout=_EXIT_WAIT_S)
        if not self._exit.done():
            self._end(CallStatus.PROTOCOL_VIOLATION, "closed its channel")
            return
        if self.failure is not None:
            raise SandboxFailure(self.failure)
        status = self._exit.result()
        if status < 0:
            self._end(CallStatus.KILLED, signal.Signals(-status).name)
        else:
            self._end(CallStatus.KILLED, f"the process ended itself with exit code {status}")

    def _on_channel(self) -> None:
        try:
            data = self._channel.recv(_CHUNK)
        except BlockingIOError:
            return
        except ConnectionResetError:  # what we sent was not read: if it was the job, no candidate's code has run
            if self._is_used and not self._frames:
                self.broke("it ended before it took its job")
            data = b""
        if not data:
            self._loop.remove_reader(self._channel.fileno())
            self._settle()
            return
        try:
            for frame in self._reader.feed(data):
                self._on_frame(frame)
        except FrameViolation as error:
            self._end(CallStatus.PROTOCOL_VIOLATION, str(error))

    def _hand_out_when_complete(self) -> None:
        """Ready is: isolated by its own word, and killable by us. The two messages come in either order."""
        if self.layers and self._pidfd >= 0 and not self._is_ready:
            self._is_ready = True
            self._on_ready(self)

    def _on_frame(self, frame: Frame) -> None:
        if not self.layers:
            self.layers = _layers(frame.value)  # written before any candidate's code is in the process
            self._hand_out_when_complete()
        elif self._is_used and not self._settled.done():
            self._frames.append(frame)
            if self._news is not None:
                self._news.set()
            if frame.kind == "done" or (frame.kind == "loaded" and frame.status != CallStatus.OK):
                self._settle()
        elif not self._is_used:
            raise FrameViolation("spoke before it was asked")

    def _on_output(self, descriptor: int) -> None:
        if not self._read_output(descriptor):
            self._loop.remove_reader(descriptor)
        elif len(self._outputs[descriptor]) > self._output_limit:
            self._end(CallStatus.OUTPUT_LIMIT, f"more than {self._output_limit} bytes of output")

    def _read_output(self, descriptor: int) -> bool:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return True
        self._outputs[descriptor] += data
        return bool(data)

    def _drain_outputs(self) -> None:
        """What was written before the last frame lies in the pipes by now."""
        self._stop_listening()
        for descriptor, buffer in self._outputs.items():
            size = -1
            while len(buffer) <= self._output_limit and size != len(buffer):
                size = len(buffer)
                self._read_output(descriptor)
            if len(buffer) > self._output_limit and self._ended is None:
                self._end(CallStatus.OUTPUT_LIMIT, f"more than {self._output_limit} bytes of output")

    def _end(self, status: CallStatus, detail: str) -> None:
        if self._ended is None:
            self._ended, self._end_detail = status, detail
        self._kill()
        self._settle()

    def _settle(self) -> None:
        if not self._settled.done():
            self._settled.set_result(None)
        if self._news is not None:
            self._news.set()

    def _is_done(self) -> bool:
        last = self._frames[-1] if self._frames else None
        return last is not None and (last.kind == "done" or (last.kind == "loaded" and last.status != CallStatus.OK))

    # -- results -------------------------------------------------------------------------------------------------

    def _execution_of_calls(self, num_calls: int, duration_ms: float) -> Execution:
        loaded = next((f for f in self._frames if f.kind == "loaded"), None)
        missing = CallResult(self._ended or CallStatus.PROTOCOL_VIOLATION, detail=self._end_detail or "no answer")
        if loaded is None or loaded.status != CallStatus.OK:
            missing = missing if loaded is None else CallResult(loaded.status, detail=loaded.detail)
            status, detail, frames = missing.status, missing.detail, []
        else:
            status, detail = CallStatus.OK, self._end_detail
            frames = [f for f in self._frames if f.kind == "call"][:num_calls]
        calls = [CallResult(f.status, f.value if f.status == CallStatus.OK else "", f.detail) for f in frames]
        calls += [missing] * (num_calls - len(calls))
        return self._execution(status, detail, duration_ms, calls)

    async def _execution_of_program(self, duration_ms: float) -> Execution:
        done = next((f for f in self._frames if f.kind == "done"), None)
        if self._ended is None and done is not None:
            exit_code = int(done.value) if done.value.isdecimal() and len(done.value) < 4 else 1
            return self._execution(done.status, done.detail, duration_ms, [], exit_code)
        status, detail = self._ended or CallStatus.PROTOCOL_VIOLATION, self._end_detail
        exit_code = self._exit.result() if self._exit.done() else 1
        if status == CallStatus.KILLED and exit_code >= 0:  # os._exit is a program's right
            status = CallStatus.OK if exit_code == 0 else CallStatus.EXCEPTION
        return self._execution(status, detail, duration_ms, [], exit_code)

    def _execution(
        self, status: CallStatus, detail: str, duration_ms: float, calls: list[CallResult], exit_code: int = 0
    ) -> Execution:
        return Execution(
            status=status, calls=calls, stdout=self._text(0), stderr=self._text(1), exit_code=exit_code,
            detail=detail, duration_ms=duration_ms,
        )  # fmt: skip

    def _text(self, index: int) -> str:
        if self._is_closed:
            return ""
        if not self._is_used:
            self._drain_outputs()
        return bytes(list(self._outputs.values())[index][: self._output_limit]).decode("utf-8", "replace")

    # -- ending --------------------------------------------------------------------------------------------------

    def _kill(self) -> None:
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def end(self) -> None:
        """Kill, and give every descriptor back; the zygote reaps it."""
        self._kill()
        if self._is_closed:
            return
        self._is_closed = True
        self._stop_listening()
        self._loop.remove_reader(self._channel.fileno())
        self._channel.close()
        for descriptor in self._outputs:
            os.close(descriptor)

    def _close_pidfd(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
