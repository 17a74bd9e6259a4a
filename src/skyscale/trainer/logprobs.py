"""Log-probabilities of chosen tokens without the [tokens, vocabulary] matrix in memory.

- The forward pass keeps one log-sum-exp per token; the backward pass computes each chunk's logits once more. At most
  one chunk of logits exists at a time, whatever the batch, so memory no longer grows with tokens * vocabulary.
- Logits are fp32 on every device: half-precision inputs are multiplied exactly and accumulated in fp32.
- Small batches take the plain form (`F.cross_entropy`), which is faster on a CPU and what pinned numbers come from.

Letters: K tree nodes (see `packing`), C nodes of a chunk, D width, V vocabulary.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

PLAIN_ELEMENTS = 1 << 24
"""Largest tokens * vocabulary (64 MiB in fp32) that is computed in the plain form."""
CHUNK_ELEMENTS = {"cpu": 1 << 22, "cuda": 1 << 27}
"""Logits of a chunk: on a CPU 16 MiB, on a GPU 512 MiB, large enough that the products run at full speed."""


def token_logprobs(hidden_KD: Tensor, head_VD: Tensor, target_K: Tensor, temperature: float) -> Tensor:
    """Log-probability of `target_K` under softmax(hidden head^T / temperature), fp32 [K]."""
    num_elements = hidden_KD.shape[0] * head_VD.shape[0]
    if num_elements > PLAIN_ELEMENTS:
        rows = max(1, CHUNK_ELEMENTS[hidden_KD.device.type] // head_VD.shape[0])
        return chunked_logprobs(hidden_KD, head_VD, target_K, temperature, rows)
    logits_KV = F.linear(hidden_KD.float(), head_VD.float())
    if temperature != 1.0:
        logits_KV = logits_KV / temperature
    return -F.cross_entropy(logits_KV, target_K, reduction="none")


def chunked_logprobs(hidden_KD: Tensor, head_VD: Tensor, target_K: Tensor, temperature: float, rows: int) -> Tensor:
    """The same with at most `rows` tokens' logits at a time."""
    return _Chunked.apply(hidden_KD, head_VD, target_K, temperature, rows)  # pyright: ignore[reportReturnType]


class _Chunked(torch.autograd.Function):
    """d logprob_k / d logits_kv = (1[v = target_k] - softmax_kv) / temperature."""

    @staticmethod
    def forward(
        ctx: Any, hidden_KD: Tensor, head_VD: Tensor, target_K: Tensor, temperature: float, rows: int
    ) -> Tensor:
        normalizer_K = torch.empty(hidden_KD.shape[0], device=hidden_KD.device)
        chosen_K = torch.empty_like(normalizer_K)
        for start in range(0, hidden_KD.shape[0], rows):
            chunk = slice(start, start + rows)
            logits_CV = _product(hidden_KD[chunk], head_VD.t()).div_(temperature)
            chosen_K[chunk] = logits_CV.gather(1, target_K[chunk, None]).squeeze(1)
            normalizer_K[chunk] = _logsumexp_(logits_CV)
        ctx.save_for_backward(hidden_KD, head_VD, target_K, normalizer_K)
        ctx.temperature, ctx.rows = temperature, rows
        return chosen_K - normalizer_K

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        hidden_KD, head_VD, target_K, normalizer_K = ctx.saved_tensors
        scaled_K = grads[0] / ctx.temperature
        hidden_grad_KD = torch.empty_like(hidden_KD) if ctx.needs_input_grad[0] else None
        head_grad_VD = torch.zeros_like(head_VD, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        for start in range(0, hidden_KD.shape[0], ctx.rows):
            chunk = slice(start, start + ctx.rows)
            grad_CV = _product(hidden_KD[chunk], head_VD.t()).div_(ctx.temperature)
            grad_CV.sub_(normalizer_K[chunk, None]).exp_().mul_(-scaled_K[chunk, None])
            grad_CV.scatter_add_(1, target_K[chunk, None], scaled_K[chunk, None])
            grad_CV = grad_CV.to(hidden_KD.dtype)
            if hidden_grad_KD is not None:
                hidden_grad_KD[chunk] = _product(grad_CV, head_VD.to(grad_CV.dtype)).to(hidden_KD.dtype)
            if head_grad_VD is not None:
                head_grad_VD += _product(grad_CV.t(), hidden_KD[chunk])
        head_grad = None if head_grad_VD is None else head_grad_VD.to(head_VD.dtype)
        return hidden_grad_KD, head_grad, None, None, None


def _logsumexp_(logits_CV: Tensor) -> Tensor:
    """Over the vocabulary; overwrites its argument, since `torch.logsumexp` would make a second chunk."""
    largest_C1 = logits_CV.amax(-1, keepdim=True)
    return logits_CV.sub_(largest_C1).exp_().sum(-1).log_().add_(largest_C1.squeeze(-1))


def _product(left: Tensor, right: Tensor) -> Tensor:
    """`left` times `right` in fp32; on a GPU half-precision inputs stay as they are and accumulate in fp32."""
    if left.is_cuda and left.dtype == right.dtype == torch.bfloat16:
        return torch.mm(left, right, out_dtype=torch.float32)
    return left.float() @ right.float()
