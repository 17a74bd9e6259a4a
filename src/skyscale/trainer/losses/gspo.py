"""Group sequence policy optimisation, arXiv:2507.18071: the ratio and the clip belong to the sequence.

    s_i    = (pi(y_i) / pi_old(y_i)) ^ (1 / |y_i|) = exp(mean over tokens of (logprob - old_logprob))
    loss_i = -min(s_i * A_i, clip(s_i, 1 - clip_low, 1 + clip_high) * A_i)

Given per token, every token of a sequence carrying its sequence's loss, so that the mean over the tokens of a sequence
is that loss. Token weights (the correction of the engine's error) multiply each token's share; with weights of 1 it is
the paper's. The ratio moves by a fraction of what tokens do, hence bounds of 3e-4 and 4e-4.

Letters: N tokens, S sequences.
"""

import torch
from torch import Tensor

from skyscale.trainer.losses.grpo import PolicyLoss
from skyscale.trainer.losses.sequences import sequence_mean


def gspo_loss(
    logprob_N: Tensor,
    old_logprob_N: Tensor,
    advantage_N: Tensor,
    weight_N: Tensor,
    sequence_N: Tensor,
    num_sequences: int,
    *,
    clip_low: float,
    clip_high: float,
) -> PolicyLoss:
    """Loss of each token; summed over a sequence and divided by its length, it is the sequence's.

    At ratio 1 the gradient is the policy gradient of the mean log-probability, -weight * A * d logprob / |y|.
    """
    # The value is the sequence's, the gradient the token's own (GSPO-token, eq. 14): with equal weights the sum is
    # the same as that of the plain form, and a weight acts on the token that it was made for.
    log_ratio_S = sequence_mean((logprob_N - old_logprob_N).detach(), sequence_N, num_sequences)
    ratio_N = torch.exp(log_ratio_S)[sequence_N] * torch.exp(logprob_N - logprob_N.detach())
    free_N = ratio_N * advantage_N
    bound_N = ratio_N.clamp(1.0 - clip_low, 1.0 + clip_high) * advantage_N
    loss_N = -weight_N * torch.minimum(free_N, bound_N)
    return PolicyLoss(loss_N, ratio_N.detach(), (bound_N < free_N).detach())
