"""The rows in flight and one step of all of them.

A step samples one token per row. A new prompt is computed in the first step of its rows, once however many they are and
in the same products as the other rows' newest tokens: on a CPU half the cost of a short prompt is starting operations.
A finished row's place is taken by the last row at once, so no arithmetic is spent on finished text.
Letters: P prompts, R rows (padding included), T tokens, S tokens attended to, H query heads, K key/value heads, E head
size, V vocabulary.
"""

from collections import deque

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skyscale.decoder.config import DecoderConfig
from skyscale.decoder.model import attention
from skyscale.policy.batching.cache import KvCache
from skyscale.policy.batching.forward import Attend, Forward
from skyscale.policy.batching.prompts import Prompts
from skyscale.policy.batching.rows import Decode, Job, Row
from skyscale.policy.batching.sampling import sample_tokens
from skyscale.policy.batching.slots import Slots
from skyscale.policy.batching.weights import EngineWeights
from skyscale.policy.engine import FinishReason, TokenEvent

ATTEND_BUCKET = 16
"""Attention reads a multiple of so many tokens: buffers of recurring sizes are reused by the allocator."""
MIN_SEEDED_ROWS = 16
"""From so many rows on, MKL's products give a row the same bits however many others there are; below, they do not.

Attention over more than 384 tokens is summed in blocks that depend on the longest row: there it is the same to 1e-5.
"""
MAX_PREFILL_TOKENS = 4096
"""Prompt tokens computed in one step, padding included; more wait for the next, so that decoding keeps moving."""

LOWEST = torch.finfo(torch.float32).min
"""The score of a token that may not be attended to."""


class Batch:
    """The weights, their cache and the rows; not thread-safe.

    At most `max_rows` rows, and rows times the longest of them stays within `max_tokens` cached tokens.
    """

    def __init__(
        self, config: DecoderConfig, weights: EngineWeights, *, decode: Decode, max_rows: int, max_tokens: int
    ) -> None:
        self.weights = weights
        """Replaced by a swap, between two steps."""
        self.rows: list[Row] = []
        self.prompt_tokens = 0
        self.generated_tokens = 0
        self._decode = decode
        self._max_rows, self._max_tokens = max_rows, max_tokens
        self._device, self._dtype = weights.embedding.device, weights.embedding.dtype
        self._kv_heads = config.num_kv_heads
        self._forward = Forward(config, self._device)
        self._cache = KvCache(config, dtype=self._dtype, device=self._device)
        self._slots = Slots(max_rows + MIN_SEEDED_ROWS, frozenset(config.eos_token_ids), config.vocab_size)
        self._columns = torch.arange(0, device=self._device)
        self._fresh: list[tuple[list[int], int]] = []
        """Prompts that the next step computes, and how many of the last rows each of them begins."""
        self._num_watched = self._num_seeded = self._num_tempered = 0
        self._version: int | None = None

    def admit(self, waiting: deque[Job]) -> None:
        """Take samples of the first `waiting` jobs, as many as there is room for; the next step computes their prompts.

        Jobs all of whose samples were taken are removed from `waiting`.
        """
        widest = 0
        longest = self._longest()
        while waiting:
            job = waiting[0]
            widest = max(widest, len(job.request.prompt_ids))
            longest = max(longest, job.final_length)
            num_free = min(self._max_rows, self._max_tokens // longest) - len(self.rows)
            if num_free <= 0 or (self._fresh and widest * (len(self._fresh) + 1) > MAX_PREFILL_TOKENS):
                break
            count = min(job.num_waiting, num_free)
            self._open(job, count)
            self._fresh.append((job.request.prompt_ids, count))
            if not job.num_waiting:
                waiting.popleft()

    @torch.inference_mode()
    def step(self, version: int) -> None:
        """Sample a token for every row; fresh prompts are computed together with the newest tokens of the others."""
        self._follow(version)
        fresh, self._fresh = self._fresh, []
        size = len(self.rows) + self._num_padding()
        self._sample(self._logits_with(Prompts(fresh, ATTEND_BUCKET), size) if fresh else self._logits(size))

    @torch.inference_mode()
    def recompute(self) -> None:
        """Compute what every row has cached anew, by the present weights; between two steps."""
        longest = int(self._slots.positions(len(self.rows)).max(initial=1))
        at_once = max(1, MAX_PREFILL_TOKENS // longest)
        for first in range(0, len(self.rows), at_once):
            rows = list(enumerate(self.rows[first : first + at_once], first))
            # The newest token is left out: the next step computes it.
            known = [(row.job.request.prompt_ids + self._slots.sampled(slot)[0][:-1], 1) for slot, row in rows]
            prompts = Prompts(known, ATTEND_BUCKET)
            ids, rotations = self._tensor(prompts.ids), self._rotations(prompts.positions)
            wanted = self._tensor(prompts.last[:1])  # nobody needs the logits, so as few as can be
            self._forward.logits(self.weights, ids, rotations, self._filling(prompts, first), wanted)

    @torch.inference_mode()
    def cancel_marked(self) -> None:
        """Drop the rows of cancelled jobs, between two steps; other rows may move in the cache."""
        self._drop([slot for slot, row in enumerate(self.rows) if row.job.is_cancelled])

    def _logits(self, size: int) -> Tensor:
        """What follows the newest token of each row, [R, V]."""
        places = self._slots.positions(size)
        attend = self._attending(places)
        ids, rotations = self._tensor(self._slots.newest[:size]), self._rotations(places)
        return self._forward.logits(self.weights, ids, rotations, attend)

    def _logits_with(self, prompts: Prompts, size: int) -> Tensor:
        """The same when the last rows are those of `prompts`, of which nothing has been computed."""
        known = len(self.rows) - len(prompts.of_row)
        if not known:
            self._cache.shrink(self._longest())
        places = self._slots.positions(known)
        attend_fresh, attend_known = self._filling(prompts, known), self._attending(places) if known else None

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            mixed = attend_fresh(layer, q[known:], k[known:], v[known:])
            if attend_known is None:
                return mixed
            return torch.cat((attend_known(layer, q[:known], k[:known], v[:known]), mixed))

        ids = self._tensor(np.concatenate((self._slots.newest[:known], prompts.ids)))
        rotations = self._rotations(np.concatenate((places, prompts.positions)))
        padding = np.zeros(size - len(self.rows), np.int64)
        wanted = self._tensor(np.concatenate((np.arange(known), known + prompts.last, padding)))
        self.prompt_tokens += prompts.num_tokens
        return self._forward.logits(self.weights, ids, rotations, attend, wanted)

    def _filling(self, prompts: Prompts, first: int) -> Attend:
        """Attention of prompts to themselves; what they compute goes into the cache of the rows from `first` on."""
        self._cache.reserve(first + len(prompts.of_row), prompts.length + 1)
        of_row = self._tensor(prompts.of_row)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            # Padding is on the right and attention causal, so padding reaches no real token.
            q, k, v = (each.unflatten(0, (-1, prompts.length)) for each in (q, k, v))
            self._cache.write_prompts(layer, first, of_row, k, v)
            return attention(q, k, v, None).flatten(0, 1)

        return attend

    def _attending(self, places: NDArray[np.int64]) -> Attend:
        """Attention of one token per row to what its row has cached, itself included; it goes to `places`."""
        # The newest token of each row has been sampled but not computed: its place is its position.
        rows, used = len(places), int(places.max()) + 1
        self._cache.reserve(rows, used)
        length = -(-used // ATTEND_BUCKET) * ATTEND_BUCKET
        positions = self._tensor(places)
        mask, slots = self._mask(positions, length), self._cache.slots(positions)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self._cache.write_tokens(layer, slots, k, v)
            keys, values = self._cache.read(layer, rows, length)
            return attend_to_cache(q, keys, values, mask)

        return attend

    def _rotations(self, positions: NDArray[np.int64]) -> Tensor:
        return self._forward.rotations(int(positions.max()) + 1).index_select(0, self._tensor(positions))

    def _longest(self) -> int:
        """Most tokens that a row can come to have."""
        return max((job.final_length for job in {row.job for row in self.rows}), default=0)

    def _follow(self, version: int) -> None:
        """Note in each row which version samples from here on."""
        if version != self._version:
            self._version = version
            for slot, row in enumerate(self.rows):
                row.sampled_by(version, int(self._slots.count[slot]))

    def _num_padding(self) -> int:
        """Rows to add so that a seeded sample's numbers are the same in every company."""
        return max(0, MIN_SEEDED_ROWS - len(self.rows)) if self._num_seeded else 0

    def _mask(self, positions: Tensor, length: int) -> Tensor:
        """[R * K, 1, S]: the most negative number where a row has no token yet, else 0; scores are fp32."""
        if length > len(self._columns):
            self._columns = torch.arange(2 * length, device=self._device)
        if self._kv_heads > 1:
            positions = positions.repeat_interleave(self._kv_heads)
        is_beyond = self._columns.narrow(0, 0, length) > positions.unsqueeze(1)
        return is_beyond.float().mul_(LOWEST).unsqueeze(1)

    def _sample(self, logits: Tensor) -> None:
        """Sample a token for each row by `logits` [R, V], and see to those that are finished."""
        count, size = len(self.rows), len(logits)
        temperatures = self._tensor(self._slots.temperature[:size]) if self._num_tempered else None
        uniforms = self._tensor(self._slots.uniforms(size))
        sampled = sample_tokens(logits, uniforms, temperatures)
        tokens, logprobs = (each.cpu().numpy()[:count] for each in sampled)
        finished, has_ended = self._slots.record(tokens, logprobs)
        reasons: dict[int, FinishReason] = {slot: "stop" if has_ended[slot] else "length" for slot in finished}
        self.generated_tokens += count
        if self._num_watched:
            self._look(reasons)
        if reasons:
            self._finish(reasons)

    def _look(self, reasons: dict[int, FinishReason]) -> None:
        """Find stop strings, and tell those who listen to a stream."""
        for slot, row in enumerate(self.rows):
            if row.is_watched:
                if row.is_stopped(self._slots.tail(slot, row.stop_tail)):
                    reasons[slot] = "stop"
                if row.job.on_token is not None:
                    token, logprob = int(self._slots.newest[slot]), self._slots.newest_logprob(slot)
                    assert self._version is not None
                    row.job.on_token(TokenEvent(row.completion.index, token, logprob, self._version, reasons.get(slot)))

    def _finish(self, reasons: dict[int, FinishReason]) -> None:
        ended: list[Job] = []
        for slot, reason in reasons.items():
            row = self.rows[slot]
            row.finish(*self._slots.sampled(slot), reason)
            row.job.num_finished += 1
            if row.job.num_finished == row.job.request.n:
                ended.append(row.job)
        self._drop(list(reasons))
        for job in ended:
            job.on_done(job, None)

    def _open(self, job: Job, count: int) -> None:
        samples = range(len(job.completions), len(job.completions) + count)
        self._slots.open(len(self.rows), job.request, job.seed, samples)
        for _ in samples:
            row = Row(job, self._decode)
            job.completions.append(row.completion)
            if self._version is not None:
                row.sampled_by(self._version, 0)
            self.rows.append(row)
            self._count(row, 1)

    def _drop(self, gone: list[int]) -> None:
        """Free the slots `gone`: the last rows move into them."""
        for slot in gone:
            self._count(self.rows[slot], -1)
        size = len(self.rows) - len(gone)
        targets = [slot for slot in gone if slot < size]
        sources = sorted(set(range(size, len(self.rows))).difference(gone))
        for source, target, length in zip(sources, targets, self._slots.lengths(sources), strict=True):
            self._cache.move(source, target, length)
            self.rows[target] = self.rows[source]
        del self.rows[size:]
        self._slots.keep(sources, targets, size)

    def _count(self, row: Row, change: int) -> None:
        request = row.job.request
        self._num_watched += change * row.is_watched
        self._num_seeded += change * (request.seed is not None)
        self._num_tempered += change * (request.temperature != 1.0)

    def _tensor(self, values: np.ndarray) -> Tensor:
        """On a CPU this is the array's own memory, so it must not outlive the step."""
        return torch.from_numpy(values).to(self._device)


def attend_to_cache(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Attention of one new token per row: q [R,H,E], keys [R*K,E,S], values [R*K,S,E], mask [R*K,1,S]; [R,H*E].

    The query heads that share a key head are rows of one product, so no key is repeated. Scores are fp32.
    """
    rows, heads, size = q.shape
    kv_heads = keys.shape[0] // rows
    grouped = q.reshape(rows * kv_heads, heads // kv_heads, size)
    if q.dtype == torch.float32:
        shares = torch.softmax(torch.baddbmm(mask, grouped, keys, alpha=size**-0.5), dim=-1)
    else:
        scores = torch.bmm(grouped.float(), keys.float()).mul_(size**-0.5).add_(mask)
        shares = torch.softmax(scores, dim=-1).to(q.dtype)
    return torch.bmm(shares, values).view(rows, heads * size)
