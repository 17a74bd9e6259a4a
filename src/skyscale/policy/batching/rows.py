"""A row: one completion being decoded, and when it is finished."""

from collections.abc import Callable
from dataclasses import dataclass, field

from skyscale.policy.batching.sampling import Uniforms
from skyscale.policy.engine import Completion, FinishReason, GenerateRequest

Decode = Callable[[list[int]], str]


@dataclass(slots=True, eq=False)
class Job:
    """A request on its way through the engine."""

    request: GenerateRequest
    seed: int
    on_token: Callable[[Completion], None] | None
    """Called after each token when the request is streamed."""
    on_done: Callable[["Job", BaseException | None], None]
    """Called once, when every sample is finished or the engine gave up."""
    completions: list[Completion] = field(default_factory=list[Completion])
    """Samples that were admitted so far, in order of their index."""
    num_finished: int = 0
    is_cancelled: bool = False

    @property
    def final_length(self) -> int:
        """Most tokens that one of its rows can have."""
        return len(self.request.prompt_ids) + self.request.max_new_tokens

    @property
    def num_waiting(self) -> int:
        """Samples that have not been admitted."""
        return self.request.n - len(self.completions)


class Row:
    """A completion and what the next step needs of it."""

    __slots__ = ("_decode", "_ends", "_limit", "_stop", "_tail", "completion", "job", "position", "uniforms")

    def __init__(self, job: Job, eos: frozenset[int], decode: Decode) -> None:
        request = job.request
        self.job = job
        self.completion = Completion(len(job.completions))
        self.uniforms = Uniforms(job.seed, self.completion.index)
        self.position = len(request.prompt_ids)
        """Where the newest token goes in the cache: the number of tokens before it."""
        self._limit = request.max_new_tokens
        self._ends = frozenset[int]() if request.ignore_eos else eos
        self._stop = request.stop
        # A token is at least one byte (special tokens aside), so a stop string lies within this many tokens.
        self._tail = max((len(s.encode()) for s in request.stop), default=0) + 4
        self._decode = decode

    def accept(self, token: int, logprob: float, version: int) -> bool:
        """Record a sampled token; true when it was the last one."""
        completion = self.completion
        completion.token_ids.append(token)
        completion.logprobs.append(logprob)
        completion.versions.append(version)
        completion.finish_reason = reason = self._finish_reason(token)
        return reason is not None

    def _finish_reason(self, token: int) -> FinishReason | None:
        if token in self._ends:
            return "stop"
        ids = self.completion.token_ids
        if self._stop:
            tail = self._decode(ids[-self._tail :])
            if any(stop in tail for stop in self._stop):
                return "stop"
        return "length" if len(ids) >= self._limit else None
