"""The engine contract: what a way of sampling tokens promises to the HTTP server.

- Token ids in, token ids out; text exists only to look for stop strings.
- Each sampled token carries its natural-log probability at the sampling temperature (at 1 for greedy sampling) and
  the version whose weights sampled it, in order: a swap in mid-completion shows as a change from one to the other.
- A request's tokens depend on the weights, the prompt, the seed and the sample's index, not on what else is running.
- `reload` reads and verifies new weights while serving and pauses decoding only to activate them. Weights that cannot
  be used are never activated, and serving goes on with the old ones. Cached keys and values are kept, unless the
  torch engine is told to compute them anew (`SKYSCALE_TORCH_RECOMPUTE_ON_SWAP`).
- Cancelling the task that waits for a request (or closing its stream) frees what the request holds.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

FinishReason = Literal["stop", "length"]
"""`stop`: an end-of-sequence token or a stop string. `length`: out of tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """A prompt and how to continue it."""

    prompt_ids: list[int]
    n: int = 1
    """Completions to sample; the prompt is computed once for all."""
    max_new_tokens: int
    temperature: float = 1.0
    """0 is greedy."""
    seed: int | None = None
    """None draws fresh randomness."""
    stop: tuple[str, ...] = ()
    """Strings that end a completion; the ids that spell them are kept in the record."""
    ignore_eos: bool = False


@dataclass(slots=True)
class Completion:
    """One sampled continuation; parallel lists, one entry per token, the end-of-sequence token included."""

    index: int
    token_ids: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    versions: list[int] = field(default_factory=list[int])
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """One sampled token of a streamed request."""

    index: int
    """Which of the n completions."""
    token_id: int
    logprob: float
    version: int
    finish_reason: FinishReason | None
    """Set on a completion's last token."""


@dataclass(frozen=True, slots=True)
class Swap:
    """What a weight swap cost."""

    version: int
    stage_ms: float
    """Reading and verifying, while decoding went on."""
    stall_ms: float
    """How long decoding stood still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """Counters since start and the present load."""

    version: int
    running: int
    """Completions being decoded."""
    waiting: int
    """Completions that have not been admitted yet."""
    prompt_tokens: int
    generated_tokens: int
    steps: int
    swaps: int
    failed_swaps: int
    busy_s: float
    idle_s: float
    """Time with nothing to decode."""


class Engine(Protocol):
    """A loaded model that samples."""

    max_length: int
    """Most tokens of prompt and completion together."""
    vocab_size: int

    async def start(self) -> None:
        """Become ready to generate."""
        ...

    async def stop(self) -> None:
        """End generation; what is in flight fails with `Unavailable`. Safe to call twice."""
        ...

    async def generate(self, request: GenerateRequest) -> list[Completion]:
        """All `n` completions, in order of their index.

        Raises:
            Invalid: the prompt is empty, has unknown ids, or leaves no room for a token.
            Unavailable: the engine stopped or broke.
        """
        ...

    def stream(self, request: GenerateRequest) -> AsyncGenerator[TokenEvent]:
        """The tokens of all `n` completions as they are sampled; raises as `generate`."""
        ...

    async def reload(self, folder: Path, version: int) -> Swap:
        """Serve the weights in `folder` as `version` from the next decode step on.

        Raises:
            Invalid: the weights do not fit or are damaged, or `version` is already served. The old ones stay.
        """
        ...

    def stats(self) -> EngineStats:
        """The engine's counters now."""
        ...

    def failure(self) -> BaseException | None:
        """What broke the engine for good, if something did: its process should end and be started again."""
        ...
