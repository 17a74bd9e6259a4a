"""What a step reads and writes of every row, in arrays: a step costs a dozen numpy calls, however many rows there are.

Slot i belongs to row i; slots behind the last row are padding, at position 0. One uniform number per token chooses it,
fixed by (seed, sample, position): counter-based (Philox, Salmon et al. 2011) and drawn per sample, so it cannot depend
on what else is in the batch.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyscale.policy.engine import GenerateRequest

DRAWN_AT_ONCE = 64
"""Uniform numbers drawn per row at a time."""
BELOW_ONE = 1 - 2**-23
"""The largest uniform number: times a sum in fp32 it is still less than that sum."""
FIRST_TOKENS = 128
"""Sampled tokens for which a slot has room at first."""
LOGPROB_DIGITS = 8
"""Decimals kept: beyond them an fp32 log-probability is noise that replies would spell out."""


class Slots:
    """The arrays, their growth and their compaction."""

    def __init__(self, size: int, ends: frozenset[int], vocab_size: int) -> None:
        self.newest = np.zeros(size, np.int64)
        """The last sampled token."""
        self.count = np.zeros(size, np.int64)
        """Tokens sampled."""
        self.temperature = np.ones(size, np.float32)
        self._start = np.zeros(size, np.int64)
        self._limit = np.zeros(size, np.int64)
        self._heeds_ends = np.zeros(size, np.bool_)
        self._uniforms = np.zeros((size, DRAWN_AT_ONCE))
        self._keys = np.zeros((size, 2), np.uint64)
        self._philox = np.random.Philox(0)
        # Its counter is moved to the beginning of a block, with nothing left of the block before.
        self._state: Any = self._philox.state | {"buffer_pos": 4}
        self._generator = np.random.Generator(self._philox)
        self._tokens = np.zeros((size, FIRST_TOKENS), np.int64)
        self._logprobs = np.zeros((size, FIRST_TOKENS), np.float32)
        self._indices = np.arange(size)
        self._is_end = np.zeros(vocab_size, np.bool_)
        self._is_end[[token for token in ends if token < vocab_size]] = True

    def open(self, first: int, request: GenerateRequest, seed: int, samples: range) -> None:
        """Give the slots from `first` on to `samples` of `request`, which have sampled nothing."""
        here = slice(first, first + len(samples))
        self.count[here] = self.newest[here] = 0
        self.temperature[here] = request.temperature
        self._start[here], self._limit[here] = len(request.prompt_ids) - 1, request.max_new_tokens
        self._heeds_ends[here] = not request.ignore_eos
        self._keys[here, 0], self._keys[here, 1] = seed % 2**64, samples

    def positions(self, size: int) -> NDArray[np.int64]:
        """Where the newest token of each of the first `size` slots goes: the number of tokens before it."""
        return self._start[:size] + self.count[:size]

    def lengths(self, slots: list[int]) -> list[int]:
        """Tokens before the newest one of each of the `slots`."""
        return (self._start[slots] + self.count[slots]).tolist()

    def uniforms(self, size: int) -> NDArray[np.float64]:
        """The numbers in [0, 1) that choose the next tokens of the first `size` slots."""
        columns = self.count[:size] % DRAWN_AT_ONCE
        for slot in np.flatnonzero(columns == 0).tolist():
            self._uniforms[slot] = self._drawn(self._keys[slot], int(self.count[slot]))
        return self._uniforms[self._indices[:size], columns]

    def record(self, tokens: NDArray[np.int64], logprobs: NDArray[np.float32]) -> tuple[list[int], NDArray[np.bool_]]:
        """Note a sampled token for each of the first slots.

        Returns the slots that are finished by it, and which of those tokens ended their sequence.
        """
        size = len(tokens)
        count = self.count[:size]
        if count.max() >= self._tokens.shape[1]:
            self._tokens = np.concatenate((self._tokens, np.zeros_like(self._tokens)), axis=1)
            self._logprobs = np.concatenate((self._logprobs, np.zeros_like(self._logprobs)), axis=1)
        self._tokens[self._indices[:size], count] = tokens
        self._logprobs[self._indices[:size], count] = logprobs
        self.newest[:size] = tokens
        count += 1
        has_ended = self._is_end[tokens] & self._heeds_ends[:size]
        return np.flatnonzero(has_ended | (count >= self._limit[:size])).tolist(), has_ended

    def tail(self, slot: int, length: int) -> list[int]:
        """The newest tokens of a slot, `length` at most."""
        count = int(self.count[slot])
        return self._tokens[slot, max(0, count - length) : count].tolist()

    def newest_logprob(self, slot: int) -> float:
        """Log-probability of the newest token."""
        return round(float(self._logprobs[slot, self.count[slot] - 1]), LOGPROB_DIGITS)

    def sampled(self, slot: int) -> tuple[list[int], list[float]]:
        """All tokens of a slot and their log-probabilities."""
        count = int(self.count[slot])
        logprobs = self._logprobs[slot, :count].astype(np.float64).round(LOGPROB_DIGITS)
        return self._tokens[slot, :count].tolist(), logprobs.tolist()

    def keep(self, sources: list[int], targets: list[int], size: int) -> None:
        """Move `sources` over `targets`; slots from `size` on become padding."""
        if sources:
            longest = int(self.count[sources].max())
            whole = (self.newest, self.count, self.temperature, self._start, self._limit, self._heeds_ends)
            sampled = (self._tokens[:, :longest], self._logprobs[:, :longest])
            for array in (*whole, *sampled, self._uniforms, self._keys):
                array[targets] = array[sources]
        self.count[size:] = self.newest[size:] = self._start[size:] = 0
        self.temperature[size:] = 1.0

    def _drawn(self, key: NDArray[np.uint64], position: int) -> NDArray[np.float64]:
        # The generator's counter counts blocks of four numbers. Moving it takes a fraction of a new generator's time.
        self._state["state"]["counter"][0] = position // 4
        self._state["state"]["key"][:] = key
        self._philox.state = self._state
        return np.minimum(self._generator.random(DRAWN_AT_ONCE), BELOW_ONE)
