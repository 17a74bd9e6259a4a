"""The vLLM engine: vLLM samples in its own process; this leaf drives it from Python and opens no route of vLLM's.

    generate   one request of vLLM per sample, each with a seed of its own; the prompt's blocks are shared by its cache
    reload     files read and checked here -> pause, keeping what runs -> weights replaced in place -> resume
    versions   vLLM marks every step's tokens with the version of the weights that sampled them

Keys and values of what is in flight are kept through a swap. The prefix cache is salted with the version, so no prompt
that comes after a swap meets what older weights computed. Adapters are merged into their base before they are loaded.
Stop strings are looked for here: vLLM is given no tokenizer, and so gives back exactly the ids that were sampled.
"""

import asyncio
import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import torch
from vllm import SamplingParams  # pyright: ignore[reportMissingImports] - an environment of its own has it
from vllm.engine.arg_utils import AsyncEngineArgs  # pyright: ignore[reportMissingImports]
from vllm.sampling_params import RequestOutputKind  # pyright: ignore[reportMissingImports]
from vllm.v1.engine.async_llm import AsyncLLM  # pyright: ignore[reportMissingImports]
from vllm.v1.engine.exceptions import EngineDeadError  # pyright: ignore[reportMissingImports]

from skyscale.decoder.adapter_files import is_adapter
from skyscale.decoder.checkpoint import load_decoder, read_weights, save_decoder
from skyscale.decoder.config import DecoderConfig
from skyscale.errors import Invalid, Unavailable
from skyscale.policy.checks import check_request
from skyscale.policy.engine import Completion, EngineStats, FinishReason, GenerateRequest, Swap, TokenEvent
from skyscale.policy.vllm_arguments import with_given
from skyscale.settings import VllmSettings

MAX_ROWS = 256
CPU_BLOCK_SIZE = 32
"""The smallest that vLLM's CPU attention takes: prompts are shared in whole blocks, and ours are short."""
DEFAULTS = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING", "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind"}  # fmt: skip
"""vLLM's environment where it says nothing: report to nobody, and threads as OMP_NUM_THREADS says."""
Decode = Callable[[list[int]], str]


class VllmEngine:
    """See `policy.engine.Engine`."""

    def __init__(self, folder: Path, *, version: int, decode: Decode) -> None:
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        self._config = DecoderConfig.from_folder(folder)
        self.max_length = self._config.max_positions
        self.vocab_size = self._config.vocab_size
        self._dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
        self._folder, self._version, self._decode = folder, version, decode
        self._salt = version
        """The version that will compute a prompt that arrives now."""
        self._scratch = tempfile.TemporaryDirectory(prefix="skyscale-vllm-")
        os.environ["VLLM_RPC_BASE_PATH"] = self._scratch.name  # where its processes' sockets are, and would stay
        self._vllm: Any = None
        self._shared_memory: set[Path] = set()
        self._counters = _Counters()
        self._samples: set[asyncio.Task[Completion]] = set()
        self._reloading = asyncio.Lock()
        self._is_stopped = False
        self._failure: BaseException | None = None
        self._prompt_tokens = self._swaps = self._failed_swaps = 0
        self._busy_s = self._idle_s = 0.0
        self._since = time.perf_counter()

    async def start(self) -> None:
        """Start vLLM's process and load the weights."""
        self._vllm = await asyncio.to_thread(self._open)
        self.max_length = min(self.max_length, self._vllm.model_config.max_model_len)
        await self._vllm.update_weight_version(str(self._version))
        for found in await self._vllm.collective_rpc("shared_memory"):
            self._shared_memory |= set(map(Path, found))
        self._since = time.perf_counter()

    async def stop(self) -> None:
        """End vLLM's process; what is in flight fails."""
        self._is_stopped = True
        for sample in self._samples:
            sample.cancel()
        vllm, self._vllm = self._vllm, None
        if vllm is not None:
            if vllm.output_handler is not None:
                vllm.output_handler.cancel()  # which would tell an error of the process that is ended now
            await asyncio.to_thread(vllm.shutdown)
        # vLLM leaves it to a helper process to give these back, which a signal to our process group ends first.
        for piece in self._shared_memory:
            piece.unlink(missing_ok=True)
        self._scratch.cleanup()

    async def generate(self, request: GenerateRequest) -> list[Completion]:
        """See `policy.engine.Engine.generate`."""
        samples = self._begin(request, None)
        try:
            return list(await asyncio.gather(*samples))
        except asyncio.CancelledError:
            self._raise_if_down()
            raise
        finally:
            for sample in samples:
                sample.cancel()

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[TokenEvent]:
        """See `policy.engine.Engine.stream`."""
        events: asyncio.Queue[TokenEvent | asyncio.Task[Completion]] = asyncio.Queue()
        samples = self._begin(request, events.put_nowait)
        for sample in samples:
            sample.add_done_callback(events.put_nowait)
        num_open = len(samples)
        try:
            while num_open:
                event = await events.get()
                if isinstance(event, TokenEvent):
                    yield event
                    continue
                num_open -= 1
                if event.cancelled():
                    raise Unavailable("the engine has stopped")
                event.result()
        finally:
            for sample in samples:
                sample.cancel()

    async def reload(self, folder: Path, version: int) -> Swap:
        """See `policy.engine.Engine.reload`."""
        async with self._reloading:
            if version == self._version:
                raise Invalid(f"version {version} is being served already")
            self._raise_if_down()
            started = time.perf_counter()
            try:
                checked = await asyncio.to_thread(self._checked, folder)
            except Invalid:
                self._failed_swaps += 1
                raise
            stage_ms = (time.perf_counter() - started) * 1e3
            started = time.perf_counter()
            await self._activate(checked, version)
            self._swaps += 1
            return Swap(version, stage_ms, (time.perf_counter() - started) * 1e3)

    def stats(self) -> EngineStats:
        """The engine's counters now; samples beyond `MAX_ROWS` count as waiting, whatever vLLM does with the rest."""
        elapsed, num_open = time.perf_counter() - self._since, len(self._samples)
        return EngineStats(
            version=self._version,
            running=min(num_open, MAX_ROWS),
            waiting=max(0, num_open - MAX_ROWS),
            prompt_tokens=self._prompt_tokens,
            generated_tokens=self._counters.generated_tokens,
            steps=self._counters.steps,
            swaps=self._swaps,
            failed_swaps=self._failed_swaps,
            busy_s=self._busy_s + (elapsed if num_open else 0.0),
            idle_s=self._idle_s + (0.0 if num_open else elapsed),
        )

    def failure(self) -> BaseException | None:
        """What broke vLLM's process or left its weights half replaced, if something did."""
        if self._failure is None and self._vllm is not None and self._vllm.errored:
            self._failure = self._vllm.dead_error
        return self._failure

    def _counters_of(self, *_: object) -> "_Counters":
        return self._counters

    def _open(self) -> Any:
        folder = self._merged(self._folder) if is_adapter(self._folder) else self._folder
        arguments = with_given(self._arguments(folder), VllmSettings().arguments)
        try:
            chosen = AsyncEngineArgs(**arguments)
        except TypeError as e:
            raise Invalid(f"SKYSCALE_VLLM_ARGUMENTS: {e}") from e
        return AsyncLLM.from_engine_args(chosen, stat_loggers=[self._counters_of])

    def _arguments(self, folder: Path) -> dict[str, Any]:
        is_cuda = torch.cuda.is_available()
        return {
            "model": str(folder),
            "skip_tokenizer_init": True,
            "dtype": str(self._dtype).removeprefix("torch."),
            "max_model_len": -1,  # the model's, or less where there is no memory for the keys and values of so many
            "max_num_seqs": MAX_ROWS,
            "block_size": None if is_cuda else CPU_BLOCK_SIZE,
            "enable_prefix_caching": True,
            # vLLM takes back the draw of a prompt that is only partly computed by moving its generator's offset; a
            # CPU's generators have none, and the process dies. Whole prompts only, then: those that do not fit wait.
            "enable_chunked_prefill": None if is_cuda else False,
            "logprobs_mode": "processed_logprobs",  # at the sampling temperature, as the trainer computes them
            "generation_config": "vllm",  # the model's own sampling defaults would bend the distribution
            "enforce_eager": not is_cuda,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
            "worker_extension_cls": "skyscale.policy.engines.vllm_worker.WorkerExtension",
        }

    # -- sampling --

    def _begin(
        self, request: GenerateRequest, on_event: Callable[[TokenEvent], None] | None
    ) -> list[asyncio.Task[Completion]]:
        check_request(request, vocab_size=self.vocab_size, max_length=self.max_length)
        self._raise_if_down()
        seed = secrets.randbits(63) if request.seed is None else request.seed
        if not self._samples:
            self._mark()
        samples = [asyncio.create_task(self._sample(request, seed, i, on_event)) for i in range(request.n)]
        self._samples.update(samples)
        for sample in samples:
            sample.add_done_callback(self._end)
        self._prompt_tokens += len(request.prompt_ids)
        return samples

    def _end(self, sample: asyncio.Task[Completion]) -> None:
        if len(self._samples) == 1:
            self._mark()
        self._samples.discard(sample)

    def _mark(self) -> None:
        """Book the time since the last change between idle and busy."""
        now = time.perf_counter()
        if self._samples:
            self._busy_s += now - self._since
        else:
            self._idle_s += now - self._since
        self._since = now

    async def _sample(
        self, request: GenerateRequest, seed: int, index: int, on_event: Callable[[TokenEvent], None] | None
    ) -> Completion:
        completion = Completion(index)
        parameters = self._parameters(request, _seed_of(seed, index), is_followed=bool(on_event or request.stop))
        prompt = {"prompt_token_ids": request.prompt_ids, "cache_salt": f"version {self._salt}"}
        try:
            async with aclosing(self._vllm.generate(prompt, parameters, secrets.token_hex(12))) as outputs:
                async for output in outputs:
                    self._take(completion, output.outputs[0], request.stop, on_event)
                    if completion.finish_reason is not None:
                        break
        except EngineDeadError as e:
            raise Unavailable("the engine has stopped: vLLM's process died") from e
        if completion.finish_reason is None:
            raise Unavailable("the engine has stopped")
        return completion

    def _parameters(self, request: GenerateRequest, seed: int, *, is_followed: bool) -> Any:
        return SamplingParams(  # pyright: ignore[reportCallIssue]
            max_tokens=request.max_new_tokens,
            temperature=request.temperature,
            seed=seed,
            logprobs=0,
            stop_token_ids=[] if request.ignore_eos else list(self._config.eos_token_ids),
            ignore_eos=True,  # the ids above are all that end a completion
            detokenize=False,
            output_kind=RequestOutputKind.DELTA if is_followed else RequestOutputKind.FINAL_ONLY,
        )

    def _take(
        self,
        completion: Completion,
        part: Any,
        stops: tuple[str, ...],
        on_event: Callable[[TokenEvent], None] | None,
    ) -> None:
        """Append what vLLM sampled, up to the token that completes a stop string."""
        reason: FinishReason | None = part.finish_reason if part.finish_reason in ("stop", "length") else None
        last = len(part.token_ids) - 1
        for place, token in enumerate(part.token_ids):
            logprob = part.logprobs[place][token].logprob
            completion.token_ids.append(token)
            completion.logprobs.append(logprob)
            completion.versions.append(self._version)
            if place == last:
                completion.finish_reason = reason
            if stops and self._ends_with_stop(completion.token_ids, stops):
                completion.finish_reason = "stop"
            if on_event is not None:
                on_event(TokenEvent(completion.index, token, logprob, self._version, completion.finish_reason))
            if completion.finish_reason is not None:
                break
        # vLLM's own spans are exact; what is served when an output arrives is so unless several steps arrive as one.
        completion.versions = _versions(part, len(completion.token_ids)) or completion.versions

    def _ends_with_stop(self, ids: list[int], stops: tuple[str, ...]) -> bool:
        # A token is at least one byte (special tokens aside), so a stop string lies within this many tokens.
        tail = self._decode(ids[-max(len(stop.encode()) for stop in stops) - 4 :])
        return any(stop in tail for stop in stops)

    # -- weights --

    def _checked(self, folder: Path) -> Path:
        """The folder to load: `folder`, or a copy with its adapter merged. Raises Invalid for unusable weights."""
        read_weights(self._config, folder, dtype=self._dtype)
        return self._merged(folder) if is_adapter(folder) else folder

    def _merged(self, folder: Path) -> Path:
        target = Path(tempfile.mkdtemp(dir=self._scratch.name))
        save_decoder(load_decoder(folder, dtype=self._dtype), target, folder)
        return target

    async def _activate(self, folder: Path, version: int) -> None:
        try:
            await self._vllm.pause_generation(mode="keep", clear_cache=False)
            self._salt = version
            await self._vllm.collective_rpc("replace_weights", args=(str(folder),))
            await self._vllm.update_weight_version(str(version))
            self._version = version
            await self._vllm.resume_generation()
        except Exception as e:
            # Weights may be half replaced: nothing may be sampled with them, so the process has to end.
            self._failure = e
            raise Unavailable(f"vLLM could not replace its weights: {e}", code="engine_broken") from e

    def _raise_if_down(self) -> None:
        if self._is_stopped or self._vllm is None or self.failure() is not None:
            raise Unavailable("the engine has stopped")


class _Counters:
    """What vLLM counts step by step, kept for `EngineStats`; the shape of its `StatLoggerBase`."""

    def __init__(self) -> None:
        self.generated_tokens = self.steps = 0

    def record(self, scheduler_stats: Any, iteration_stats: Any, *_: Any, **__: Any) -> None:
        """Called after every step."""
        if iteration_stats is not None:
            self.steps += 1
            self.generated_tokens += iteration_stats.num_generation_tokens

    def log_engine_initialized(self) -> None:
        """Called once."""

    def log(self) -> None:
        """Called when vLLM would print."""

    def record_sleep_state(self, *_: Any) -> None:
        """Called when weights are put aside, which we never ask for."""


def _seed_of(seed: int, index: int) -> int:
    """A seed per sample; sums of seed and index would give neighbouring requests the same samples."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {index}".encode(), digest_size=8).digest(), "big") >> 1


def _versions(part: Any, count: int) -> list[int] | None:
    """The version of each of a completion's `count` tokens, which vLLM tells when the completion has ended."""
    spans = part.weight_versions
    if not spans or spans[-1].end < count:
        return None
    return [int(span.version) for span in spans for _ in range(span.end - span.start)][:count]
