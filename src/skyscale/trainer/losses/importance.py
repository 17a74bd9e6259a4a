"""Truncated importance correction between the engine that sampled and the trainer that learns, per token.

    rho    = exp(trainer_old_logprob - engine_logprob)
    weight = min(rho, cap), or 0 where rho is outside [low, high]

The engine computes with other kernels and, in asynchronous runs, with older weights; without the correction the
gradient is biased. Truncation as in IMPALA (arXiv:1802.01561), masking of outliers as in IcePop (arXiv:2510.18855).
Letters: N completion tokens.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Importance(NamedTuple):
    """How much each token counts."""

    weight_N: Tensor
    rho_N: Tensor
    masked_N: Tensor
    """Tokens that count nothing."""


def importance_weight(
    old_logprob_N: Tensor, engine_logprob_N: Tensor, *, cap: float, low: float, high: float
) -> Importance:
    """Weights without gradient; a rho that is not a number is masked, and what the engine gave no probability for."""
    rho_N = torch.exp(old_logprob_N.detach() - engine_logprob_N)
    masked_N = ~((rho_N >= low) & (rho_N <= high) & torch.isfinite(engine_logprob_N))
    weight_N = torch.where(masked_N, 0.0, rho_N.clamp(max=cap))
    return Importance(weight_N, rho_N, masked_N)
