"""Attention inside the rows of a micro-batch: every token sees its ancestors in its own prefix tree, and itself.

- On a GPU rows are padded to the longest and go through one masked kernel.
- On a CPU rows lie one behind the other without padding, and each is computed by itself as plain matrix products. All
  heads that share a key are one product: torch's own CPU kernel takes heads of 32 features one by one, at twice the
  time. It keeps a row's probabilities for the backward pass, so longer rows go through torch's kernel all the same.

Letters: B padded rows, M tokens of joined ones, T tokens of one row, H query heads, K key/value heads, G query heads
per key/value head, E head size.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skyscale.decoder.layers import additive_mask
from skyscale.decoder.model import Attend, attention
from skyscale.trainer.packing import MicroBatch

PLAIN_TOKENS = 256
"""Longest row that is computed as plain products: the scores of some heads then fit into a core's second cache."""


@dataclass(frozen=True, slots=True)
class PaddedRows:
    """Attention of rows that are padded to one length, given to `Decoder.forward`."""

    mask_B1TT: Tensor

    def __call__(self, _: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `decoder.model.Attend`."""
        return attention(q, k, v, self.mask_B1TT)


@dataclass(frozen=True, slots=True)
class JoinedRows:
    """Attention of rows that lie one behind the other, given to `Decoder.forward`."""

    lengths: list[int]
    """Tokens of each row."""
    masks: list[Tensor]
    """Of each row, numbers to add to its scores: [T, T], or [T * G, T] for plain products."""
    is_plain: bool

    def __call__(self, _: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `decoder.model.Attend`; there is one line, [1, M, ...]."""
        if self.is_plain:
            mixed: Tensor = _Plain.apply(q[0], k[0], v[0], self)  # pyright: ignore[reportAssignmentType]
            return mixed[None]
        parts = zip(*(each.split(self.lengths, 1) for each in (q, k, v)), self.masks, strict=True)
        return torch.cat([attention(row_q, row_k, row_v, mask[None, None]) for row_q, row_k, row_v, mask in parts], 1)


def rows_attention(batch: MicroBatch, num_groups: int, dtype: torch.dtype) -> Attend:
    """Attention of a micro-batch, for a model with `num_groups` query heads per key, computing in `dtype`."""
    lengths = list(batch.joined) or [batch.ids_BT.shape[1]]
    index_T = torch.arange(max(lengths), device=batch.ids_BT.device)
    if not batch.joined:
        return PaddedRows(additive_mask(_seen(index_T, index_T, batch.last_BT[:, None]), dtype))
    is_plain = max(lengths) <= PLAIN_TOKENS
    per_key = num_groups if is_plain else 1
    query_TG = index_T.repeat_interleave(per_key)
    rows = zip(lengths, batch.last_BT[0].split(lengths), strict=True)
    masks = [additive_mask(_seen(query_TG[: size * per_key], index_T[:size], last), dtype) for size, last in rows]
    return JoinedRows(lengths, masks, is_plain)


def _seen(query: Tensor, key_T: Tensor, last_T: Tensor) -> Tensor:
    """Where query i may attend to key j: j <= i <= last[j]."""
    return (query[:, None] >= key_T) & (query[:, None] <= last_T[..., None, :])


class _Plain(torch.autograd.Function):
    """softmax(q k^T / sqrt(E) + mask) v of every row; [M, H, E] and [M, K, E] to [M, H * E]."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, rows: JoinedRows) -> Tensor:
        num_kv = k.shape[1]
        scaled_q, k, v = _folded(q * q.shape[-1] ** -0.5, num_kv), _folded(k, num_kv), _folded(v, num_kv)
        mixed = torch.empty_like(scaled_q)
        shares: list[Tensor] = []
        parts = (rows.masks, _parts(scaled_q, rows), _parts(k, rows), _parts(v, rows), _parts(mixed, rows))
        for mask, row_q, row_k, row_v, out in zip(*parts, strict=True):
            share = torch.softmax(torch.baddbmm(mask, row_q, row_k.transpose(1, 2)), -1)
            torch.bmm(share, row_v, out=out)
            shares.append(share)
        ctx.save_for_backward(scaled_q, k, v, *shares)
        ctx.rows = rows
        return _unfolded(mixed, q.shape[0]).flatten(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, *shares = ctx.saved_tensors
        rows, num_tokens, size = ctx.rows, k.shape[1], k.shape[2]
        grad = _folded(grads[0].unflatten(1, (-1, size)), len(k))
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        parts = [_parts(each, rows) for each in (grad, q, k, v, grad_q, grad_k, grad_v)]
        for share, row_grad, row_q, row_k, row_v, to_q, to_k, to_v in zip(shares, *parts, strict=True):
            grad_share = torch.bmm(row_grad, row_v.transpose(1, 2))
            grad_score = torch.ops.aten._softmax_backward_data(grad_share, share, -1, share.dtype)
            torch.bmm(grad_score, row_k, out=to_q)
            torch.bmm(grad_score.transpose(1, 2), row_q, out=to_k)
            torch.bmm(share.transpose(1, 2), row_grad, out=to_v)
        scaled = grad_q.mul_(size**-0.5)
        return _unfolded(scaled, num_tokens), _unfolded(grad_k, num_tokens), _unfolded(grad_v, num_tokens), None


def _folded(x: Tensor, num_kv: int) -> Tensor:
    """[M, K * G, E] as [K, M * G, E]: heads that share a key are one matrix."""
    return x.unflatten(1, (num_kv, -1)).transpose(0, 1).flatten(1, 2)


def _unfolded(x: Tensor, num_tokens: int) -> Tensor:
    """[K, M * G, E] as [M, K * G, E]."""
    return x.unflatten(1, (num_tokens, -1)).transpose(0, 1).flatten(1, 2)


def _parts(x: Tensor, rows: JoinedRows) -> tuple[Tensor, ...]:
    """The rows of a folded tensor."""
    num_groups = x.shape[1] // sum(rows.lengths)
    return x.split([length * num_groups for length in rows.lengths], 1)
