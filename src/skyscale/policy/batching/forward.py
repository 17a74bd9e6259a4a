"""The decoder without gradients, in as few operations as torch allows: it computes what `decoder.model` computes.

On a CPU a small model's step is mostly the cost of starting operations. So tokens are one dimension, sums go into the
hidden states in place, and a rotation is a complex product. Attention is left to the caller, who owns the cache.
Letters: N tokens (rows of a step, or prompts times their tokens), H query heads, K key/value heads, E head size,
D width, V vocabulary.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from skyscale.decoder.config import DecoderConfig
from skyscale.decoder.layers import inverse_frequencies
from skyscale.policy.batching.weights import BlockWeights, EngineWeights

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, query [N,H,E], key [N,K,E], value [N,K,E]) -> attended values [N,H*E]; each may be a slice of more."""


class Forward:
    """The arithmetic of one model, whatever its weights."""

    def __init__(self, config: DecoderConfig, device: torch.device) -> None:
        self._config, self._device = config, device
        self._inverse = inverse_frequencies(config.rope, config.head_dim).to(device)
        self._rotations = torch.empty((0, config.head_dim // 2), dtype=torch.complex64, device=device)
        self._width_floor = self._floor(config.hidden_size)
        self._head_floor = self._floor(config.head_dim)

    def rotations(self, length: int) -> Tensor:
        """Unit complex numbers for the positions 0..length-1 and perhaps more, [length or more, E / 2]."""
        if length > len(self._rotations):
            positions = torch.arange(2 * length, device=self._device).float()
            angles = positions[:, None] * self._inverse
            self._rotations = torch.polar(torch.ones_like(angles), angles)
        return self._rotations

    def logits(
        self, weights: EngineWeights, ids_N: Tensor, rotations: Tensor, attend: Attend, wanted: Tensor | None = None
    ) -> Tensor:
        """Unnormalised log-probabilities [N, V]; with `wanted` (indices into N), of those tokens only.

        `rotations` are the tokens' [N, E / 2].
        """
        hidden = weights.embedding.index_select(0, ids_N)
        rotations = rotations.unsqueeze(1)
        last, halves = len(weights.blocks) - 1, (self._config.mlp_size,) * 2
        for layer, block in enumerate(weights.blocks):
            q, k, v = self._queries_keys_values(block, hidden, rotations)
            mixed = attend(layer, q, k, v)
            if layer == last and wanted is not None:
                hidden, mixed = hidden.index_select(0, wanted), mixed.index_select(0, wanted)
            hidden.addmm_(mixed, block.out)
            normed = _rms_norm(hidden, block.mlp_norm, self._width_floor)
            gate, up = torch.mm(normed, block.gate_up).split_with_sizes(halves, 1)
            hidden.addmm_(F.silu(gate).mul_(up), block.down)
        return torch.mm(_rms_norm(hidden, weights.final_norm, self._width_floor), weights.head)

    def _queries_keys_values(
        self, block: BlockWeights, hidden: Tensor, rotations: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        heads, kv_heads, size = self._config.num_heads, self._config.num_kv_heads, self._config.head_dim
        normed = _rms_norm(hidden, block.input_norm, self._width_floor)
        fused = torch.mm(normed, block.qkv)
        if block.qkv_bias is not None:
            fused.add_(block.qkv_bias)
        qk, v = fused.view(-1, heads + 2 * kv_heads, size).split_with_sizes((heads + kv_heads, kv_heads), 1)
        if block.qk_norm is not None:
            qk = _rms_norm(qk, block.qk_norm, self._head_floor)
        is_wide = qk.dtype == torch.float32
        rotated = ((qk if is_wide else qk.float()).view(torch.complex64) * rotations).view(torch.float32)
        q, k = (rotated if is_wide else rotated.to(v.dtype)).split_with_sizes((heads, kv_heads), 1)
        return q, k, v

    def _floor(self, width: int) -> Tensor:
        # Under a sum of squares in place of their mean, epsilon counts `width` times.
        return torch.tensor((width * self._config.norm_eps) ** 0.5, device=self._device)


def _rms_norm(x: Tensor, weight: Tensor | None, floor: Tensor) -> Tensor:
    """RMS norm along the last dimension in three or four operations, where torch composes it of nine on a CPU.

    The length of `x` with `floor` as one more side of it is sqrt(width) times its root mean square; that factor is in
    `weight` (`weights.py`).
    """
    if x.dtype == torch.float32:
        normed = x.div(torch.linalg.vector_norm(x, 2, -1, True).hypot_(floor))
        return normed if weight is None else normed.mul_(weight)
    normed = x / torch.linalg.vector_norm(x, 2, -1, True, dtype=torch.float32).hypot_(floor)
    return (normed if weight is None else normed.mul_(weight)).to(x.dtype)
