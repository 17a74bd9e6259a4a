"""The rows in flight and one step of all of them.

A step samples one token per row. New prompts are computed between steps, once per prompt however many samples it
has; a finished row's place is taken by the last row at once, so no arithmetic is spent on finished text.
Letters: P prompts, R rows (padding included), T tokens, S tokens attended to, H query heads, K key/value heads, E head
size, V vocabulary.
"""

from collections import deque

import numpy as np
import torch
from torch import Tensor

from skyscale.decoder.config import DecoderConfig
from skyscale.decoder.model import attention
from skyscale.policy.batching.cache import KvCache
from skyscale.policy.batching.forward import Forward
from skyscale.policy.batching.rows import Decode, Job, Row
from skyscale.policy.batching.sampling import sample_tokens
from skyscale.policy.batching.slots import Slots
from skyscale.policy.batching.weights import EngineWeights
from skyscale.policy.engine import FinishReason, TokenEvent

ATTEND_BUCKET = 16
"""Attention reads a multiple of so many tokens: buffers of recurring sizes are reused by the allocator."""
MIN_SEEDED_ROWS = 16
"""From so many rows on, MKL's products give a row the same bits however many others there are; below, they do not."""
MAX_PREFILL_TOKENS = 4096
"""Prompt tokens computed between two decode steps; more wait for the next one, so that decoding keeps moving."""


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
        self._num_watched = self._num_seeded = self._num_tempered = 0
        self._version: int | None = None

    def admit(self, waiting: deque[Job], version: int) -> None:
        """Start samples of the first `waiting` jobs, as many as there is room for, and sample their first tokens.

        Jobs all of whose samples have started are removed from `waiting`.
        """
        prompts: list[list[int]] = []
        rows: list[Row] = []
        prompt_of_row: list[int] = []
        num_tokens = 0
        longest = max((row.job.final_length for row in self.rows), default=0)
        while waiting:
            job = waiting[0]
            num_tokens += len(job.request.prompt_ids)
            longest = max(longest, job.final_length)
            num_free = min(self._max_rows, self._max_tokens // longest) - len(self.rows) - len(rows)
            if num_free <= 0 or (prompts and num_tokens > MAX_PREFILL_TOKENS):
                break
            for _ in range(min(job.num_waiting, num_free)):
                row = Row(job, self._decode)
                job.completions.append(row.completion)
                rows.append(row)
                prompt_of_row.append(len(prompts))
            prompts.append(job.request.prompt_ids)
            if not job.num_waiting:
                waiting.popleft()
        if rows:
            if not self.rows:
                self._cache.shrink(longest)
            self._prefill(prompts, rows, prompt_of_row, version)

    @torch.inference_mode()
    def step(self, version: int) -> None:
        """Sample one more token for every row."""
        self._follow(version)
        # The newest token of each row has been sampled but not computed: its place is its position.
        count = len(self.rows) + self._num_padding(len(self.rows))
        places = self._slots.positions(count)
        used = int(places.max()) + 1
        self._cache.reserve(count, used)
        length = -(-used // ATTEND_BUCKET) * ATTEND_BUCKET
        ids, positions = self._tensor(self._slots.newest[:count]), self._tensor(places)
        mask = self._mask(positions, length)
        slots = self._cache.slots(positions)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self._cache.write_tokens(layer, slots, k, v)
            keys, values = self._cache.read(layer, count, length)
            return attend_to_cache(q, keys, values, mask)

        rotations = self._forward.rotations(used).index_select(0, positions)
        logits = self._forward.logits(self.weights, ids, rotations, attend)
        self._sample(logits, 0)

    @torch.inference_mode()
    def cancel_marked(self) -> None:
        """Drop the rows of cancelled jobs; another row may move in the cache, which is made in this mode."""
        for slot in reversed([i for i, row in enumerate(self.rows) if row.job.is_cancelled]):
            self._drop(slot)

    @torch.inference_mode()
    def _prefill(self, prompts: list[list[int]], rows: list[Row], prompt_of_row: list[int], version: int) -> None:
        first, num_prompts = len(self.rows), len(prompts)
        self._open(rows)
        self._follow(version)
        longest = -(-max(map(len, prompts)) // ATTEND_BUCKET) * ATTEND_BUCKET
        self._cache.reserve(first + len(rows), longest + 1)
        ids = self._ints([token for prompt in prompts for token in prompt + [0] * (longest - len(prompt))])
        chosen = self._ints(prompt_of_row)
        rotations = self._forward.rotations(longest)[:longest].repeat(num_prompts, 1)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            # Padding is on the right and attention causal, so padding reaches no real token.
            q, k, v = (each.unflatten(0, (num_prompts, longest)) for each in (q, k, v))
            self._cache.write_prompts(layer, first, chosen, k, v)
            return attention(q, k, v, None).flatten(0, 1)

        last = [i * longest + len(prompt) - 1 for i, prompt in enumerate(prompts)]
        wanted = self._ints(last + [0] * self._num_padding(num_prompts))
        logits = self._forward.logits(self.weights, ids, rotations, attend, wanted)
        self.prompt_tokens += sum(map(len, prompts))
        self._sample(logits[chosen], first)

    def _follow(self, version: int) -> None:
        """Note in each row which version samples from here on."""
        if version != self._version:
            self._version = version
            for slot, row in enumerate(self.rows):
                row.sampled_by(version, int(self._slots.count[slot]))

    def _num_padding(self, count: int) -> int:
        """Rows to add so that a seeded sample's numbers are the same, to the last bit, in every company."""
        return max(0, MIN_SEEDED_ROWS - count) if self._num_seeded else 0

    def _mask(self, positions: Tensor, length: int) -> Tensor:
        """[R * K, 1, S]: the most negative number where a row has no token yet, else 0; scores are fp32."""
        if length > len(self._columns):
            self._columns = torch.arange(2 * length, device=self._device)
        if self._kv_heads > 1:
            positions = positions.repeat_interleave(self._kv_heads)
        is_beyond = self._columns[:length] > positions[:, None]
        return is_beyond.float().mul_(torch.finfo(torch.float32).min)[:, None]

    def _sample(self, logits: Tensor, first: int) -> None:
        """Sample a token for each row from `first` on, `logits` [R, V], and see to those that are finished."""
        count, size = len(self.rows) - first, len(logits)
        temperatures = self._tensor(self._slots.temperature[first : first + size]) if self._num_tempered else None
        uniforms = self._tensor(self._slots.uniforms(first, size))
        sampled = sample_tokens(logits, uniforms, temperatures)
        tokens, logprobs = (each[:count].cpu().numpy() for each in sampled)
        finished, has_ended = self._slots.record(first, tokens, logprobs)
        reasons: dict[int, FinishReason] = {i: "stop" if has_ended[i - first] else "length" for i in finished}
        self.generated_tokens += count
        if self._num_watched:
            self._look(first, reasons)
        self._finish(reasons)

    def _look(self, first: int, reasons: dict[int, FinishReason]) -> None:
        """Find stop strings, and tell those who listen to a stream."""
        for slot, row in enumerate(self.rows[first:], first):
            if row.is_watched:
                if row.is_stopped(self._slots.tail(slot, row.stop_tail)):
                    reasons[slot] = "stop"
                if row.job.on_token is not None:
                    token, logprob = int(self._slots.newest[slot]), self._slots.newest_logprob(slot)
                    assert self._version is not None
                    row.job.on_token(TokenEvent(row.completion.index, token, logprob, self._version, reasons.get(slot)))

    def _finish(self, reasons: dict[int, FinishReason]) -> None:
        ended: list[Job] = []
        # From the last on, so that a row which takes a finished one's place is none of them.
        for slot in sorted(reasons, reverse=True):
            row = self.rows[slot]
            row.finish(*self._slots.sampled(slot), reasons[slot])
            row.job.num_finished += 1
            if row.job.num_finished == row.job.request.n:
                ended.append(row.job)
            self._drop(slot)
        for job in ended:
            job.on_done(job, None)

    def _open(self, rows: list[Row]) -> None:
        for row in rows:
            request = row.job.request
            self._slots.open(
                len(self.rows), prompt_length=len(request.prompt_ids), limit=request.max_new_tokens,
                temperature=request.temperature, heeds_ends=not request.ignore_eos, seed=row.job.seed,
                sample=row.completion.index,
            )  # fmt: skip
            if self._version is not None:
                row.sampled_by(self._version, 0)
            self.rows.append(row)
            self._count(row, 1)

    def _drop(self, slot: int) -> None:
        self._count(self.rows[slot], -1)
        last = len(self.rows) - 1
        if slot != last:
            self._cache.move(last, slot, int(self._slots.positions(last + 1)[last]))
            self.rows[slot] = self.rows[last]
        self.rows.pop()
        self._slots.close(slot, last)

    def _count(self, row: Row, change: int) -> None:
        request = row.job.request
        self._num_watched += change * row.is_watched
        self._num_seeded += change * (request.seed is not None)
        self._num_tempered += change * (request.temperature != 1.0)

    def _ints(self, values: list[int]) -> Tensor:
        return self._tensor(np.array(values, np.int64))

    def _tensor(self, values: np.ndarray) -> Tensor:
        """On a CPU this is the array's own memory, so it must not outlive the step."""
        return torch.from_numpy(values).to(self._device)


def attend_to_cache(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Attention of one new token per row: q [R,H,E], keys [R*K,E,S], values [R*K,S,E], mask [R*K,1,S]; [R,H*E].

    The query heads that share a key head are rows of one product, so no key is repeated. Scores are fp32.
    """
    rows, heads, size = q.shape
    kv_heads = keys.shape[0] // rows
    grouped = q.view(rows * kv_heads, heads // kv_heads, size)
    if q.dtype == torch.float32:
        shares = torch.softmax(torch.baddbmm(mask, grouped, keys, alpha=size**-0.5), dim=-1)
    else:
        scores = torch.bmm(grouped.float(), keys.float()).mul_(size**-0.5).add_(mask)
        shares = torch.softmax(scores, dim=-1).to(q.dtype)
    return torch.bmm(shares, values).view(rows, heads * size)
