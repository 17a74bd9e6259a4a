"""The decoder's weights as the engine reads them: transposed, with the pairs of the rotary embedding side by side.

- A product with a matrix that lies as [in, out] takes half the time of one with [out, in] at 16 rows on a CPU.
- Norm weights are fp32 and hold the root of the width, which `forward.py` leaves out of its norms. Those in front of an
  fp32 matrix are multiplied into it; a matrix in bfloat16 would be rounded once more.
- Hugging Face pairs feature i of a head with i + E / 2. Beside each other they are one complex number, and a rotation
  is one multiplication. Queries and keys are permuted alike, so their products stay what they are.

Letters: D width, V vocabulary, E head size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from skyscale.decoder.config import DecoderConfig

COPIED_HEAD = 2**24
"""A head that is the embedding is copied to be transposed up to so many numbers; a larger one is read as it lies."""


@dataclass(frozen=True, slots=True)
class BlockWeights:
    """One layer; matrices are [in, out]."""

    input_norm: Tensor | None
    """None: it is in `qkv`."""
    qkv: Tensor
    qkv_bias: Tensor | None
    qk_norm: Tensor | None
    """A row of weights for each query and key head."""
    out: Tensor
    mlp_norm: Tensor | None
    """None: it is in `gate_up`."""
    gate_up: Tensor
    down: Tensor


@dataclass(frozen=True, slots=True)
class EngineWeights:
    """A whole model."""

    embedding: Tensor
    blocks: list[BlockWeights]
    final_norm: Tensor
    head: Tensor
    """[D, V]."""


def arrange(config: DecoderConfig, weights: dict[str, Tensor]) -> EngineWeights:
    """The result of `decoder.checkpoint.read_weights`, rearranged.

    `weights` is emptied on the way, so that no more than one matrix is held twice.
    """
    embedding = weights.pop("embedding")
    head = weights.pop("untied_head", embedding).t()
    if not config.is_tied or head.numel() <= COPIED_HEAD:
        head = head.contiguous()
    blocks = [_block(config, weights, f"blocks.{layer}.") for layer in range(config.num_layers)]
    return EngineWeights(embedding, blocks, _scaled(weights.pop("final_norm")), head)


def _block(config: DecoderConfig, weights: dict[str, Tensor], prefix: str) -> BlockWeights:
    def transposed(name: str) -> Tensor:
        return weights.pop(prefix + name).t().contiguous()

    def behind(norm: Tensor, matrix: Tensor) -> tuple[Tensor | None, Tensor]:
        scaled = _scaled(norm)
        return (None, (matrix * scaled).t().contiguous()) if matrix.dtype == torch.float32 else (scaled, matrix.t())

    order = _paired(config).to(weights[prefix + "qkv"].device)
    bias = weights.pop(prefix + "qkv_bias", None)
    qk_norm = None
    if config.has_qk_norm:
        rows = (weights.pop(prefix + "q_norm").expand(config.num_heads, -1),
                weights.pop(prefix + "k_norm").expand(config.num_kv_heads, -1))  # fmt: skip
        qk_norm = _scaled(torch.cat(rows)[:, _pairs(config.head_dim).to(order.device)])
    input_norm, qkv = behind(weights.pop(prefix + "input_norm"), weights.pop(prefix + "qkv")[order])
    mlp_norm, gate_up = behind(weights.pop(prefix + "mlp_norm"), weights.pop(prefix + "gate_up"))
    return BlockWeights(
        input_norm=input_norm,
        qkv=qkv,
        qkv_bias=None if bias is None else bias[order],
        qk_norm=qk_norm,
        out=transposed("out"),
        mlp_norm=mlp_norm,
        gate_up=gate_up,
        down=transposed("down"),
    )


def _scaled(norm: Tensor) -> Tensor:
    return norm.float() * norm.shape[-1] ** 0.5


def _paired(config: DecoderConfig) -> Tensor:
    """The rows of the fused projection in the engine's order; values stay where they are."""
    heads = torch.arange(config.num_heads + config.num_kv_heads)[:, None] * config.head_dim
    rotated = (heads + _pairs(config.head_dim)).flatten()
    return torch.cat((rotated, torch.arange(len(rotated), config.qkv_size)))


def _pairs(head_dim: int) -> Tensor:
    """0, E/2, 1, E/2 + 1, ..."""
    return torch.arange(head_dim).view(2, -1).t().flatten()
