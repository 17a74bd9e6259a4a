"""Divergence from a reference policy, per token, with Schulman's estimators (joschu.net/blog/kl-approx.html).

    d = logprob - reference_logprob          for tokens sampled from the policy
    k1 = d                  unbiased for KL(policy || reference), of either sign
    k2 = d^2 / 2            biased, low variance, never negative; its gradient is that of KL(policy || reference)
    k3 = exp(-d) - 1 + d    unbiased, low variance, never negative (GRPO's choice, arXiv:2402.03300, eq. 4)

Differentiated as they stand, k1 has no gradient in expectation (E[d log p] = 0; arXiv:2510.01555), so k1 is taken as
"KL in the reward": its value is k1 and its gradient k1 * d logprob, the same as k2's. Letters: N completion tokens.
"""

from typing import Literal

import torch
from torch import Tensor


def kl_term(logprob_N: Tensor, reference_logprob_N: Tensor, estimator: Literal["k1", "k2", "k3"]) -> Tensor:
    """The estimate of each token, with the gradient that lowers the divergence; only `logprob_N` carries gradient."""
    d_N = logprob_N - reference_logprob_N.detach()
    if estimator == "k1":
        return d_N.detach() * (1.0 + logprob_N - logprob_N.detach())
    if estimator == "k2":
        return d_N.square() / 2
    return torch.exp(-d_N) - 1.0 + d_N
