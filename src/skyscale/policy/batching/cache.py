"""Keys and values of the rows in flight, in two slabs per model that grow.

Rows 0..n-1 are in use; a finished row is overwritten by the last one. Values lie as [layers, R, K, S, E], keys as
[layers, R, K, E, S]: the two products of attention then read them as they lie, and run three times as fast on a CPU as
with keys that lie like values.
Letters: R rows, S token slots per row, K key/value heads, E head size, P prompts, T tokens.
"""

import torch
from torch import Tensor

from skyscale.decoder.config import DecoderConfig

FIRST_ROWS = 16
LENGTH_BUCKET = 64
"""Token slots grow in these steps; lengths are short, and doubling them would copy too much."""


class KvCache:
    """The slabs, their growth and their views."""

    def __init__(self, config: DecoderConfig, *, dtype: torch.dtype, device: torch.device) -> None:
        self._layers, self._heads, self._size = config.num_layers, config.num_kv_heads, config.head_dim
        self._dtype, self._device = dtype, device
        self._allocate(0, 0)

    @staticmethod
    def bytes_per_token(config: DecoderConfig, dtype: torch.dtype) -> int:
        """What one token of one row takes."""
        return 2 * config.num_layers * config.num_kv_heads * config.head_dim * dtype.itemsize

    def reserve(self, rows: int, length: int) -> None:
        """Make room for `rows` rows of `length` tokens; what is cached is kept."""
        if rows <= self._rows and length <= self._length:
            return
        want_rows = max(self._rows, FIRST_ROWS)
        while want_rows < rows:
            want_rows *= 2
        keys, values, had_rows, had_length = self._keys, self._values, self._rows, self._length
        self._allocate(want_rows, max(had_length, -(-length // LENGTH_BUCKET) * LENGTH_BUCKET))
        self._keys[:, :had_rows, ..., :had_length] = keys
        self._values[:, :had_rows, :, :had_length] = values

    def shrink(self, length: int) -> None:
        """With no row in use: give back slabs made for rows more than twice as long as `length`."""
        if self._length > 2 * max(length, LENGTH_BUCKET):
            self._allocate(0, 0)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of row `source` over row `target`."""
        for rows, dim in ((self._key_rows, 3), (self._value_rows, 2)):
            rows[target].narrow(dim, 0, length).copy_(rows[source].narrow(dim, 0, length))

    def write_prompts(self, layer: int, first_row: int, prompt_of_row: Tensor, k: Tensor, v: Tensor) -> None:
        """Put prompts' keys and values [P,T,K,E] into consecutive rows from `first_row` on."""
        rows, length = slice(first_row, first_row + len(prompt_of_row)), k.shape[1]
        self._keys[layer, rows, ..., :length] = k.permute(0, 2, 3, 1).contiguous().index_select(0, prompt_of_row)
        self._values[layer, rows, :, :length] = v.transpose(1, 2).contiguous().index_select(0, prompt_of_row)

    def slots(self, positions_R: Tensor) -> tuple[Tensor, Tensor]:
        """Where one token per row goes in a layer's slabs: of each number of its keys, and of each head's values."""
        columns, rows = positions_R.unsqueeze(1), len(positions_R)
        return self._key_starts.narrow(0, 0, rows) + columns, (self._value_starts.narrow(0, 0, rows) + columns).view(-1)

    def write_tokens(self, layer: int, slots: tuple[Tensor, Tensor], k: Tensor, v: Tensor) -> None:
        """Put one token per row, [R,K,E], into the places that `slots` returned."""
        self._key_numbers[layer].put_(slots[0], k)
        self._value_lines[layer].index_copy_(0, slots[1], v.reshape(-1, self._size))

    def read(self, layer: int, rows: int, length: int) -> tuple[Tensor, Tensor]:
        """Views of keys [rows * K, E, length] and values [rows * K, length, E]."""
        if self._viewed != (rows, length):
            lines = rows * self._heads
            keys = self._keys.flatten(1, 2)[:, :lines, :, :length].unbind(0)
            values = self._values.flatten(1, 2)[:, :lines, :length].unbind(0)
            self._viewed, self._views = (rows, length), list(zip(keys, values, strict=True))
        return self._views[layer]

    def _allocate(self, rows: int, length: int) -> None:
        self._rows, self._length = rows, length
        shape = (self._layers, rows, self._heads)
        # Zeros, not garbage: masked positions still enter a product with weight zero, and 0 * NaN is NaN.
        self._keys = torch.zeros((*shape, self._size, length), dtype=self._dtype, device=self._device)
        self._values = torch.zeros((*shape, length, self._size), dtype=self._dtype, device=self._device)
        # Making a view takes as long as a small product, so those that every step needs are kept.
        self._key_rows, self._value_rows = self._keys.unbind(1), self._values.unbind(1)
        self._key_numbers = self._keys.flatten(1).unbind(0)
        self._value_lines = self._values.flatten(1, 3).unbind(0)
        self._viewed: tuple[int, int] | None = None
        self._views: list[tuple[Tensor, Tensor]] = []
        starts = torch.arange(rows * self._heads * self._size, device=self._device) * length
        self._key_starts = starts.view(rows, self._heads * self._size)
        self._value_starts = starts[: rows * self._heads].view(rows, self._heads)
