"""The torch engine: continuous batching on one thread, on a CPU or one GPU.

Three parties meet here, and this is all they share:

    event loop   --jobs, cancellations-->   queue (one lock)   -->   decode thread (owns the batch and the weights)
    loader thread  --verified weights---->  the same queue     -->   taken up between two steps
    decode thread  --results------------->  loop.call_soon_threadsafe

The decode thread never waits while there is something to decode. An exception in it is a defect or a lack of memory:
every request fails with it, and `failure()` tells the process to end.
"""

import asyncio
import os
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from skyscale.decoder.checkpoint import read_weights
from skyscale.decoder.config import DecoderConfig
from skyscale.errors import Invalid, Unavailable
from skyscale.policy.batching.batch import Batch
from skyscale.policy.batching.cache import KvCache
from skyscale.policy.batching.rows import Decode, Job
from skyscale.policy.batching.weights import EngineWeights, arrange
from skyscale.policy.checks import check_request
from skyscale.policy.engine import Completion, EngineStats, GenerateRequest, Swap, TokenEvent
from skyscale.settings import TorchSettings

MAX_ROWS = 256
CACHE_BYTES = 2 * 1024**3
"""Memory for keys and values."""
SWITCH_INTERVAL_S = 0.0005
"""Python's thread switch interval: its 5 ms would cost the decode thread a step whenever the event loop computes."""


@dataclass(slots=True)
class _Staged:
    """Verified weights that wait for the gap between two steps."""

    weights: EngineWeights
    version: int
    activated: Callable[[float], None]
    """Told how many milliseconds decoding stood still."""


class TorchEngine:
    """See `policy.engine.Engine`."""

    def __init__(self, folder: Path, *, version: int, decode: Decode) -> None:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        is_cuda = torch.cuda.is_available()
        self._dtype = torch.bfloat16 if is_cuda else torch.float32
        self._device = torch.device("cuda" if is_cuda else "cpu")
        self._config = config = DecoderConfig.from_folder(folder)
        max_tokens = max(1, CACHE_BYTES // KvCache.bytes_per_token(config, self._dtype))
        self.max_length = min(config.max_positions, max_tokens)
        self.vocab_size = config.vocab_size
        self._version = version
        self._batch = Batch(config, self._read(folder), decode=decode, max_rows=MAX_ROWS, max_tokens=max_tokens)
        self._recomputes = TorchSettings().recompute_on_swap
        self._wake = threading.Condition()
        self._incoming: list[Job] = []
        self._waiting: deque[Job] = deque()
        self._staged: _Staged | None = None
        self._has_cancelled = self._is_stopping = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self._reloading = asyncio.Lock()
        self._steps = self._swaps = self._failed_swaps = self._num_waiting = 0
        self._busy_s = self._idle_s = 0.0
        self._idle_since: float | None = None

    async def start(self) -> None:
        """Start the decode thread."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread.start()

    async def stop(self) -> None:
        """End the decode thread; what is in flight fails."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 30.0)

    async def generate(self, request: GenerateRequest) -> list[Completion]:
        """See `policy.engine.Engine.generate`."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[list[Completion]] = loop.create_future()

        def settle(job: Job, error: BaseException | None) -> None:
            if result.done():
                return
            if error is None:
                result.set_result(job.completions)
            else:
                result.set_exception(error)

        job = self._submit(request, None, lambda job, error: _call(loop, settle, job, error))
        try:
            return await result
        finally:
            self._cancel_unless_finished(job)

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[TokenEvent]:
        """See `policy.engine.Engine.stream`."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[TokenEvent | BaseException | None] = asyncio.Queue()

        def on_token(event: TokenEvent) -> None:
            _call(loop, events.put_nowait, event)

        job = self._submit(request, on_token, lambda _, error: _call(loop, events.put_nowait, error))
        try:
            while isinstance(event := await events.get(), TokenEvent):
                yield event
            if event is not None:
                raise event
        finally:
            self._cancel_unless_finished(job)

    async def reload(self, folder: Path, version: int) -> Swap:
        """See `policy.engine.Engine.reload`."""
        async with self._reloading:
            if version == self._version:
                raise Invalid(f"version {version} is being served already")
            loop = asyncio.get_running_loop()
            started = time.perf_counter()
            try:
                weights = await asyncio.to_thread(self._read, folder)
            except Invalid:
                self._failed_swaps += 1
                raise
            stage_ms = (time.perf_counter() - started) * 1e3
            done: asyncio.Future[float] = loop.create_future()
            with self._wake:
                self._raise_if_down()
                self._staged = _Staged(weights, version, lambda ms: _call(loop, _set_result, done, ms))
                self._wake.notify()
            return Swap(version, stage_ms, await asyncio.wait_for(done, 60.0))

    def stats(self) -> EngineStats:
        """The engine's counters now."""
        batch, idle_since = self._batch, self._idle_since
        idling_s = 0.0 if idle_since is None else time.perf_counter() - idle_since
        return EngineStats(
            version=self._version,
            running=len(batch.rows),
            waiting=self._num_waiting,
            prompt_tokens=batch.prompt_tokens,
            generated_tokens=batch.generated_tokens,
            steps=self._steps,
            swaps=self._swaps,
            failed_swaps=self._failed_swaps,
            busy_s=self._busy_s,
            idle_s=self._idle_s + idling_s,
        )

    def failure(self) -> BaseException | None:
        """What broke the decode thread, if something did."""
        return self._failure

    def _read(self, folder: Path) -> EngineWeights:
        return arrange(self._config, read_weights(self._config, folder, dtype=self._dtype, device=self._device))

    # -- called on the event loop --

    def _submit(
        self,
        request: GenerateRequest,
        on_token: Callable[[TokenEvent], None] | None,
        on_done: Callable[[Job, BaseException | None], None],
    ) -> Job:
        check_request(request, vocab_size=self.vocab_size, max_length=self.max_length)
        seed = secrets.randbits(63) if request.seed is None else request.seed
        job = Job(request, seed, on_token, on_done)
        with self._wake:
            self._raise_if_down()
            self._incoming.append(job)
            self._wake.notify()
        return job

    def _cancel_unless_finished(self, job: Job) -> None:
        if job.num_finished < job.request.n:
            with self._wake:
                job.is_cancelled = self._has_cancelled = True
                self._wake.notify()

    def _raise_if_down(self) -> None:
        if self._failure is not None or self._is_stopping:
            raise Unavailable("the engine has stopped")

    # -- called on the decode thread --

    def _run(self) -> None:
        try:
            while self._collect_work():
                started = time.perf_counter()
                if self._waiting:
                    self._batch.admit(self._waiting)
                    self._num_waiting = sum(job.num_waiting for job in self._waiting)
                if self._batch.rows:
                    self._batch.step(self._version)
                    self._steps += 1
                self._busy_s += time.perf_counter() - started
        except BaseException as e:  # noqa: BLE001 - the boundary of the thread: whoever waits must hear of it
            self._failure = e
        self._fail_everything()

    def _collect_work(self) -> bool:
        """Take what arrived, activate staged weights, and wait if there is nothing to decode; false to end."""
        with self._wake:
            if not self._has_work():
                self._idle_since = time.perf_counter()
                while not self._has_work():
                    self._wake.wait(1.0)
                self._idle_s += time.perf_counter() - self._idle_since
                self._idle_since = None
            self._waiting.extend(self._incoming)
            self._incoming.clear()
            staged, self._staged = self._staged, None
            has_cancelled, self._has_cancelled = self._has_cancelled, False
            is_stopping = self._is_stopping
        if has_cancelled:
            self._batch.cancel_marked()
            self._waiting = deque(job for job in self._waiting if not job.is_cancelled)
        if staged is not None and not is_stopping:
            self._activate(staged)
        return not is_stopping

    def _has_work(self) -> bool:
        pending = self._incoming or self._waiting or self._batch.rows
        return bool(pending) or self._staged is not None or self._has_cancelled or self._is_stopping

    def _activate(self, staged: _Staged) -> None:
        started = time.perf_counter()
        self._batch.weights = staged.weights
        self._version = staged.version
        if self._recomputes:
            self._batch.recompute()
        self._swaps += 1
        staged.activated((time.perf_counter() - started) * 1e3)

    def _fail_everything(self) -> None:
        with self._wake:
            self._is_stopping = True
            jobs = {id(job): job for job in (*self._incoming, *self._waiting, *(row.job for row in self._batch.rows))}
            self._incoming.clear()
            self._waiting.clear()
        for job in jobs.values():
            job.on_done(job, Unavailable(f"the engine has stopped{f': {self._failure}' if self._failure else ''}"))


def _set_result(future: asyncio.Future[float], value: float) -> None:
    if not future.done():
        future.set_result(value)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    # The loop may be gone when the process is on its way out; then nobody waits for the call either.
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, *args)
