"""A row: one completion being decoded. What every step reads or writes of it is in `slots.py`."""

from collections.abc import Callable
from dataclasses import dataclass, field

from skyscale.policy.engine import Completion, FinishReason, GenerateRequest, TokenEvent

Decode = Callable[[list[int]], str]


@dataclass(slots=True, eq=False)
class Job:
    """A request on its way through the engine."""

    request: GenerateRequest
    seed: int
    on_token: Callable[[TokenEvent], None] | None
    """Called after each token when the request is streamed."""
    on_done: Callable[["Job", BaseException | None], None]
    """Called once, when every sample is finished or the engine gave up."""
    completions: list[Completion] = field(default_factory=list[Completion])
    """Samples that were admitted so far, in order of their index; filled in when they are finished."""
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
    """A completion, and what ends it or wants to hear of it besides its length and its end-of-sequence."""

    __slots__ = ("_decode", "_stop", "_versions", "completion", "job", "stop_tail")

    def __init__(self, job: Job, decode: Decode) -> None:
        self.job = job
        self.completion = Completion(len(job.completions))
        self._decode, self._stop = decode, job.request.stop
        self._versions: list[tuple[int, int]] = []
        # A token is at least one byte (special tokens aside), so a stop string lies within this many tokens.
        self.stop_tail = max((len(s.encode()) for s in self._stop), default=0) + 4
        """Newest tokens that `is_stopped` wants to see."""

    @property
    def is_watched(self) -> bool:
        """Whether each of its tokens has to be looked at."""
        return bool(self._stop) or self.job.on_token is not None

    def is_stopped(self, tail: list[int]) -> bool:
        """Whether the newest tokens spell a stop string."""
        if not self._stop:
            return False
        text = self._decode(tail)
        return any(stop in text for stop in self._stop)

    def sampled_by(self, version: int, count: int) -> None:
        """Tokens from the `count`-th on are sampled by `version`."""
        self._versions.append((count, version))

    def finish(self, token_ids: list[int], logprobs: list[float], reason: FinishReason) -> None:
        """Fill in the completion."""
        completion, starts = self.completion, [count for count, _ in self._versions[1:]]
        completion.token_ids, completion.logprobs, completion.finish_reason = token_ids, logprobs, reason
        for (count, version), stop in zip(self._versions, [*starts, len(token_ids)], strict=True):
            completion.versions += [version] * (stop - count)
