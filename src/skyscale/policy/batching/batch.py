"""The rows in flight and one step of all of them.

A step samples one token per row. New prompts are computed between steps, once per prompt however many samples it
has; a finished row's place is taken by the last row at once, so no arithmetic is spent on finished text.
Letters: P prompts, R rows, T tokens, D width, S tokens attended to.
"""

from collections import deque

import torch
from torch import Tensor

from skyscale.decoder.layers import additive_mask
from skyscale.decoder.model import Decoder, attention
from skyscale.policy.batching.cache import KvCache
from skyscale.policy.batching.rows import Decode, Job, Row
from skyscale.policy.batching.sampling import sample_tokens

ATTEND_BUCKET = 16
"""Attention reads a multiple of so many tokens: buffers of recurring sizes are reused by the allocator."""
MIN_SEEDED_ROWS = 16
"""From so many rows on, MKL's products give a row the same bits however many others there are; below, they do not."""
MAX_PREFILL_TOKENS = 4096
"""Prompt tokens computed between two decode steps; more wait for the next one, so that decoding keeps moving."""


class Batch:
    """The decoder, its cache and the rows; not thread-safe.

    At most `max_rows` rows, and rows times the longest of them stays within `max_tokens` cached tokens.
    """

    def __init__(
        self, decoder: Decoder, *, eos: frozenset[int], decode: Decode, max_rows: int, max_tokens: int
    ) -> None:
        self.decoder = decoder
        self.rows: list[Row] = []
        self.prompt_tokens = 0
        self.generated_tokens = 0
        self._eos, self._decode = eos, decode
        self._max_rows, self._max_tokens = max_rows, max_tokens
        self._device = decoder.embedding.device
        self._cache = KvCache(decoder.config, dtype=decoder.embedding.dtype, device=self._device)

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
                row = Row(job, self._eos, self._decode)
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
        rows = self.rows
        # The newest token of each row has been sampled but not computed: its place is `position`.
        padding = [0] * self._num_padding(rows)
        ids = self._ints([row.completion.token_ids[-1] for row in rows] + padding)
        positions = self._ints([row.position for row in rows] + padding)
        used, count = max(row.position for row in rows) + 1, len(rows) + len(padding)
        self._cache.reserve(count, used)
        length = -(-used // ATTEND_BUCKET) * ATTEND_BUCKET
        allowed = torch.arange(length, device=self._device) <= positions[:, None]
        mask = additive_mask(allowed, self.decoder.embedding.dtype)[:, None, None]
        slots = self._cache.flat_slots(torch.arange(count, device=self._device), positions)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self._cache.write_tokens(layer, slots, k, v)
            keys, values = self._cache.read(layer, count, length)
            return attend_to_cache(q, keys, values, mask)

        hidden = self.decoder.run_blocks(ids[:, None], positions[:, None], attend)
        for row in rows:
            row.position += 1
        self._sample(self.decoder.logits(hidden[:, 0])[: len(rows)], rows, version)
        self._drop_finished()

    @torch.inference_mode()
    def cancel_marked(self) -> None:
        """Drop the rows of cancelled jobs; another row may move in the cache, which is made in this mode."""
        self._drop([i for i, row in enumerate(self.rows) if row.job.is_cancelled])

    @torch.inference_mode()
    def _prefill(self, prompts: list[list[int]], rows: list[Row], prompt_of_row: list[int], version: int) -> None:
        first = len(self.rows)
        longest = -(-max(map(len, prompts)) // ATTEND_BUCKET) * ATTEND_BUCKET
        self._cache.reserve(first + len(rows), longest + 1)
        ids = self._ints([prompt + [0] * (longest - len(prompt)) for prompt in prompts])
        chosen = self._ints(prompt_of_row)
        positions = torch.arange(longest, device=self._device).expand_as(ids)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            # Padding is on the right and attention causal, so padding reaches no real token.
            self._cache.write_prompts(layer, first, chosen, k, v)
            return attention(q, k, v, None)

        hidden = self.decoder.run_blocks(ids, positions, attend)
        padding = [0] * self._num_padding(rows)
        last = self._ints([len(prompts[i]) - 1 for i in prompt_of_row] + padding)
        logits = self.decoder.logits(hidden[self._ints(prompt_of_row + padding), last])
        self.prompt_tokens += sum(map(len, prompts))
        self.rows.extend(rows)
        self._sample(logits[: len(rows)], rows, version)
        self._drop_finished()

    def _num_padding(self, rows: list[Row]) -> int:
        """Rows to add so that a seeded sample's numbers are the same, to the last bit, in every company."""
        if all(row.job.request.seed is None for row in rows):
            return 0
        return max(0, MIN_SEEDED_ROWS - len(rows))

    def _sample(self, logits_RV: Tensor, rows: list[Row], version: int) -> None:
        temperatures = torch.tensor([row.job.request.temperature for row in rows], device=self._device)
        draws = [row.uniforms[len(row.completion.token_ids)] for row in rows]
        uniform = torch.tensor(draws, dtype=torch.float64, device=self._device)
        tokens, logprobs = sample_tokens(logits_RV, temperatures, uniform)
        for row, token, logprob in zip(rows, tokens.tolist(), logprobs.tolist(), strict=True):
            row.accept(token, logprob, version)
            if row.job.on_token is not None:
                row.job.on_token(row.completion)
        self.generated_tokens += len(rows)

    def _drop_finished(self) -> None:
        finished = [i for i, row in enumerate(self.rows) if row.completion.finish_reason is not None]
        ended = [self.rows[i].job for i in finished]
        self._drop(finished)
        for job in ended:
            job.num_finished += 1
            if job.num_finished == job.request.n:
                job.on_done(job, None)

    def _drop(self, indices: list[int]) -> None:
        for index in reversed(indices):
            last = self.rows.pop()
            if index < len(self.rows):
                self._cache.move(len(self.rows), index, last.position)
                self.rows[index] = last

    def _ints(self, values: list[int] | list[list[int]]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self._device)


def attend_to_cache(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Attention of one new token per row: q [R,1,H,E], keys and values [R,S,K,E], mask [R,1,1,S]; [R,1,H*E].

    The query heads that share a key head take the place of the token dimension, so no key is repeated.
    """
    rows, _, heads, size = q.shape
    grouped = q.view(rows, keys.shape[2], heads // keys.shape[2], size)
    mixed = torch.nn.functional.scaled_dot_product_attention(
        grouped, keys.transpose(1, 2), values.transpose(1, 2), attn_mask=mask
    )
    return mixed.reshape(rows, 1, heads * size)
