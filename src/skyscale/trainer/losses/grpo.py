"""Group relative policy optimisation, per token: the clipped surrogate of arXiv:2402.03300 with two clip bounds.

    ratio  = exp(logprob - old_logprob)
    loss_t = -weight_t * min(ratio * A, clip(ratio, 1 - clip_low, 1 + clip_high) * A)

With `rho_N`, old / engine, the bounds hold for the ratio to the engine too, which is rho * ratio: they are divided by
max(1, rho) and min(1, rho). A token that has already moved so far since it was sampled has no gradient that moves it
further, whatever batch says so; the papers' own ratio is to the policy that sampled, so theirs does the same. With a
rho of 1 nothing changes.

Deviations from the paper: the bounds are asymmetric (DAPO, arXiv:2503.14476), the caller takes the mean over all tokens
of the batch instead of per sequence first, and there is no KL term. Letters: N completion tokens.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class PolicyLoss(NamedTuple):
    """The loss of each token and what happened on the way."""

    loss_N: Tensor
    ratio_N: Tensor
    """Detached."""
    clipped_N: Tensor
    """Where the clip bound is in force, so that the token has no gradient."""


def grpo_loss(
    logprob_N: Tensor,
    old_logprob_N: Tensor,
    advantage_N: Tensor,
    weight_N: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    rho_N: Tensor | None = None,
) -> PolicyLoss:
    """Loss of each token; only `logprob_N` carries gradient.

    When `old_logprob_N` equals `logprob_N` the ratio is 1 and the gradient is the policy gradient,
    -weight * A * d logprob.
    """
    ratio_N = torch.exp(logprob_N - old_logprob_N)
    free_N = ratio_N * advantage_N
    low, high = 1.0 - clip_low, 1.0 + clip_high
    if rho_N is None:
        bound_N = ratio_N.clamp(low, high) * advantage_N
    else:
        # Each bound where it can be in force, so that they cannot cross: the upper one for what is to become likelier.
        low_N = torch.where(advantage_N < 0, low / rho_N.clamp(max=1.0), 0.0)
        high_N = torch.where(advantage_N < 0, torch.inf, high / rho_N.clamp(min=1.0))
        bound_N = ratio_N.clamp(low_N, high_N) * advantage_N
    loss_N = -weight_N * torch.minimum(free_N, bound_N)
    return PolicyLoss(loss_N, ratio_N.detach(), (bound_N < free_N).detach())
