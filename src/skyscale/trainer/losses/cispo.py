"""CISPO, arXiv:2506.13585 (bounds of ScaleRL, arXiv:2510.13786): the ratio is clipped as a weight, not the objective.

    loss_t = -weight_t * sg(clip(ratio, 1 - clip_low, 1 + clip_high)) * A * logprob

`sg` stops the gradient, so a token beyond a bound goes on learning, with the bound as its weight: rare tokens that a
PPO clip silences after the first update stay in. clip_low 1 means no lower bound. Letters: N completion tokens.
"""

import torch
from torch import Tensor

from skyscale.trainer.losses.grpo import PolicyLoss


def cispo_loss(
    logprob_N: Tensor,
    old_logprob_N: Tensor,
    advantage_N: Tensor,
    weight_N: Tensor,
    *,
    clip_low: float,
    clip_high: float,
) -> PolicyLoss:
    """Loss of each token; `clipped_N` marks tokens beyond a bound, which keep a gradient.

    At ratio 1 the gradient is the policy gradient, -weight * A * d logprob.
    """
    ratio_N = torch.exp(logprob_N - old_logprob_N).detach()
    clipped_ratio_N = ratio_N.clamp(1.0 - clip_low, 1.0 + clip_high)
    loss_N = -weight_N * clipped_ratio_N * advantage_N * logprob_N
    return PolicyLoss(loss_N, ratio_N, clipped_ratio_N != ratio_N)
