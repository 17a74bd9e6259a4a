"""The decoder: embedding, blocks of attention and SwiGLU, a final norm, a head.

Letters: B batch, T tokens, S tokens attended to, H query heads, K key/value heads, E head size, D width, V vocabulary.
Query, key and value are one projection, gate and up another: at the sizes a CPU trains, the number of operations
counts more than the arithmetic. The trainer calls `forward` and `logits`; the engine calls the blocks' parts with
its own cache. Weights are made uninitialised: `initialize` or a checkpoint fills them.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from skyscale.decoder.config import DecoderConfig
from skyscale.decoder.layers import additive_mask, inverse_frequencies, rms_norm, rotate, rotation, swiglu

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, query [B,T,H,E], key [B,T,K,E], value [B,T,K,E]) -> attended values [B,T,H*E]."""


class Block(nn.Module):
    """One layer."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        width, inner = config.hidden_size, config.num_heads * config.head_dim
        self.input_norm = nn.Parameter(torch.empty(width))
        self.qkv = nn.Parameter(torch.empty(config.qkv_size, width))
        self.qkv_bias = nn.Parameter(torch.empty(config.qkv_size)) if config.has_qkv_bias else None
        self.q_norm = nn.Parameter(torch.empty(config.head_dim)) if config.has_qk_norm else None
        self.k_norm = nn.Parameter(torch.empty(config.head_dim)) if config.has_qk_norm else None
        self.out = nn.Parameter(torch.empty(width, inner))
        self.mlp_norm = nn.Parameter(torch.empty(width))
        self.gate_up = nn.Parameter(torch.empty(2 * config.mlp_size, width))
        self.down = nn.Parameter(torch.empty(width, config.mlp_size))
        self.adapters: nn.ModuleDict | None = None
        """By the name of the matrix, what is added to its output (`lora.attach`)."""

    def _linear(self, name: str, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        result = F.linear(x, weight, bias)
        if self.adapters is None or name not in self.adapters:
            return result
        return result + self.adapters[name](x)

    def forward(
        self, layer: int, hidden_BTD: Tensor, cos: Tensor, sin: Tensor, attend: Attend, wanted_N: Tensor | None = None
    ) -> Tensor:
        """The layer's output [B,T,D]; `layer` is its number, which `attend` is told.

        With `wanted_N` the output of those of the flattened tokens alone, [N,D].
        """
        q, k, v = self.queries_keys_values(hidden_BTD, cos, sin)
        attended = attend(layer, q, k, v)
        if wanted_N is not None:
            hidden_BTD, attended = (each.flatten(0, 1).index_select(0, wanted_N) for each in (hidden_BTD, attended))
        return self.after_attention(hidden_BTD, attended)

    def queries_keys_values(self, hidden_BTD: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries [B,T,H,E], rotated keys [B,T,K,E] and values [B,T,K,E]."""
        config = self.config
        normed = rms_norm(hidden_BTD, self.input_norm, config.norm_eps)
        fused = self._linear("qkv", normed, self.qkv, self.qkv_bias)
        heads = fused.unflatten(-1, (-1, config.head_dim))
        # Queries and keys are treated alike, so they go through norm and rotation as one tensor.
        qk, v = heads.split((config.num_heads + config.num_kv_heads, config.num_kv_heads), dim=-2)
        if self.q_norm is not None and self.k_norm is not None:
            weight = torch.cat((self.q_norm.expand(config.num_heads, -1), self.k_norm.expand(config.num_kv_heads, -1)))
            qk = rms_norm(qk, weight, config.norm_eps)
        q, k = rotate(qk, cos, sin).split((config.num_heads, config.num_kv_heads), dim=-2)
        return q, k, v

    def after_attention(self, hidden_BTD: Tensor, attended: Tensor) -> Tensor:
        """The layer's output, given its input and what attention returned [B,T,H*E]."""
        hidden = hidden_BTD + self._linear("out", attended, self.out)
        normed = rms_norm(hidden, self.mlp_norm, self.config.norm_eps)
        return hidden + self._linear("down", swiglu(self._linear("gate_up", normed, self.gate_up)), self.down)


class Decoder(nn.Module):
    """A whole model."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.empty(config.vocab_size, config.hidden_size))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.final_norm = nn.Parameter(torch.empty(config.hidden_size))
        self.untied_head = None if config.is_tied else nn.Parameter(torch.empty(config.vocab_size, config.hidden_size))
        self.recomputes_blocks = False
        """Keep only the input of each block for the backward pass and compute the rest of it again."""
        # Not a buffer: `module.to(bfloat16)` must not round the frequencies.
        self._inverse = inverse_frequencies(config.rope, config.head_dim)

    @property
    def head(self) -> Tensor:
        """The output projection, [V, D]."""
        return self.embedding if self.untied_head is None else self.untied_head

    def initialize(self, std: float, generator: torch.Generator | None = None) -> None:
        """Fill all matrices from N(0, std^2), norms with ones and biases with zeros."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() == 2:
                    parameter.normal_(0.0, std, generator=generator)
                else:
                    parameter.fill_(0.0 if name.endswith("bias") else 1.0)

    def rotations(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines for `positions` [...], each [..., 1, E / 2], in the model's dtype."""
        if self._inverse.device != positions.device:
            self._inverse = self._inverse.to(positions.device)
        cos, sin = rotation(self._inverse, positions, self.embedding.dtype)
        return cos[..., None, :], sin[..., None, :]

    def run_blocks(
        self, ids_BT: Tensor, positions_BT: Tensor, attend: Attend, wanted_N: Tensor | None = None
    ) -> Tensor:
        """Final-normed hidden states [B,T,D], with attention left to `attend`.

        With `wanted_N` those of the flattened tokens alone, [N,D]: of the others the last block computes nothing that
        nobody attends to.
        """
        cos, sin = self.rotations(positions_BT)
        hidden = F.embedding(ids_BT, self.embedding)
        recomputes = self.recomputes_blocks and torch.is_grad_enabled()
        for layer, block in enumerate(self.blocks):
            wanted = wanted_N if layer == len(self.blocks) - 1 else None
            if recomputes:
                # Nothing in a block draws random numbers, so their state need not be kept.
                hidden = checkpoint(
                    block, layer, hidden, cos, sin, attend, wanted, use_reentrant=False, preserve_rng_state=False
                )
            else:
                hidden = block(layer, hidden, cos, sin, attend, wanted)
        return rms_norm(hidden, self.final_norm, self.config.norm_eps)

    def forward(
        self,
        ids_BT: Tensor,
        positions_BT: Tensor,
        mask_B1TT: Tensor | None = None,
        *,
        attend: Attend | None = None,
        wanted_N: Tensor | None = None,
    ) -> Tensor:
        """Final-normed hidden states, [B, T, D], or with `wanted_N` of those flattened tokens alone, [N, D].

        `mask_B1TT` is boolean (true: the row's token may attend to the column's) or numbers to add to the scores,
        and broadcasts over B; None means causal. With `attend` attention is left to it.
        """
        mask = None if mask_B1TT is None else additive_mask(mask_B1TT, self.embedding.dtype)
        return self.run_blocks(ids_BT, positions_BT, attend or (lambda _, q, k, v: attention(q, k, v, mask)), wanted_N)

    def logits(self, hidden: Tensor) -> Tensor:
        """Unnormalised log-probabilities [..., V] of `hidden` [..., D], in the model's dtype."""
        return F.linear(hidden, self.head)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Grouped-query attention: q [B,T,H,E], k and v [B,S,K,E], mask [B or 1,1,T,S] or None for causal; [B,T,H*E]."""
    mixed = F.scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
        attn_mask=mask,
        is_causal=mask is None,
        enable_gqa=q.shape[2] != k.shape[2],
    )
    return mixed.transpose(1, 2).flatten(2)
