"""Keys and values of the rows in flight, in one slab per model that grows by doubling.

Letters: R rows, S token slots per row, W numbers per token and layer: keys of all heads, then values of all heads.
Rows 0..n-1 are in use; a finished row is overwritten by the last one. The slab is [layers, R, S, W], so a step writes
one line per row and layer, and attention reads a view.
"""

import torch
from torch import Tensor

from skyscale.decoder.config import DecoderConfig

FIRST_ROWS = 16
LENGTH_BUCKET = 64
"""Token slots grow in these steps; lengths are short, and doubling them would copy too much."""


class KvCache:
    """The slab, its growth and its views."""

    def __init__(self, config: DecoderConfig, *, dtype: torch.dtype, device: torch.device) -> None:
        self._heads, self._head_dim = config.num_kv_heads, config.head_dim
        width = 2 * config.num_kv_heads * config.head_dim
        self._slab = torch.zeros((config.num_layers, 0, 0, width), dtype=dtype, device=device)

    @staticmethod
    def bytes_per_token(config: DecoderConfig, dtype: torch.dtype) -> int:
        """What one token of one row takes."""
        return 2 * config.num_layers * config.num_kv_heads * config.head_dim * dtype.itemsize

    def reserve(self, rows: int, length: int) -> None:
        """Make room for `rows` rows of `length` tokens; what is cached is kept."""
        layers, have_rows, have_length, width = self._slab.shape
        if rows <= have_rows and length <= have_length:
            return
        want_rows = max(have_rows, FIRST_ROWS)
        while want_rows < rows:
            want_rows *= 2
        want_length = max(have_length, -(-length // LENGTH_BUCKET) * LENGTH_BUCKET)
        # Zeros, not garbage: masked positions still enter a product with weight zero, and 0 * NaN is NaN.
        slab = torch.zeros((layers, want_rows, want_length, width), dtype=self._slab.dtype, device=self._slab.device)
        slab[:, :have_rows, :have_length] = self._slab
        self._slab = slab

    def shrink(self, length: int) -> None:
        """With no row in use: give back a slab made for rows more than twice as long as `length`."""
        layers, _, have_length, width = self._slab.shape
        if have_length > 2 * max(length, LENGTH_BUCKET):
            self._slab = self._slab.new_zeros((layers, 0, 0, width))

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of row `source` over row `target`."""
        self._slab[:, target, :length] = self._slab[:, source, :length]

    def write_prompts(self, layer: int, first_row: int, prompt_of_row: Tensor, k: Tensor, v: Tensor) -> None:
        """Put prompts' keys and values [P,T,K,E] into consecutive rows from `first_row` on."""
        packed = torch.cat((k.flatten(2), v.flatten(2)), dim=-1)
        rows = slice(first_row, first_row + prompt_of_row.shape[0])
        self._slab[layer, rows, : packed.shape[1]] = packed[prompt_of_row]

    def flat_slots(self, rows: Tensor, positions: Tensor) -> Tensor:
        """Where the token at `positions` of `rows` lies when rows and slots are one dimension."""
        return rows * self._slab.shape[2] + positions

    def write_tokens(self, layer: int, flat_slots: Tensor, k: Tensor, v: Tensor) -> None:
        """Put one token per row, [R,1,K,E], into the slots that `flat_slots` names."""
        packed = torch.cat((k.flatten(1), v.flatten(1)), dim=-1)
        self._slab[layer].flatten(0, 1).index_copy_(0, flat_slots, packed)

    def read(self, layer: int, rows: int, length: int) -> tuple[Tensor, Tensor]:
        """Views of keys and values, [rows, length, K, E] each."""
        view = self._slab[layer, :rows, :length].unflatten(-1, (2, self._heads, self._head_dim))
        return view[:, :, 0], view[:, :, 1]
