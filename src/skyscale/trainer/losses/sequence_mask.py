"""Masking of whole sequences on which engine and trainer disagree (arXiv:2512.02556, richardli.xyz/rl-collapse).

    log_rho_t = trainer_logprob_t - engine_logprob_t
    geometric = exp(mean over the sequence of log_rho)     product = exp(sum over the sequence of log_rho)

A sequence whose statistic leaves [low, high] counts nothing. The product is the true ratio of the sequence's
probabilities and strays further the longer it is; the geometric mean is comparable across lengths.
Letters: N tokens, S sequences.
"""

from typing import Literal

import torch
from torch import Tensor

from skyscale.trainer.losses.sequences import sequence_mean, sequence_sum


def sequence_mask(
    log_rho_N: Tensor,
    sequence_N: Tensor,
    num_sequences: int,
    *,
    statistic: Literal["geometric", "product"],
    low: float,
    high: float,
) -> Tensor:
    """Which tokens belong to a dropped sequence, bool [N]; a statistic that is not a number drops its sequence."""
    reduce = sequence_mean if statistic == "geometric" else sequence_sum
    statistic_S = torch.exp(reduce(log_rho_N.detach(), sequence_N, num_sequences))
    dropped_S = ~((statistic_S >= low) & (statistic_S <= high))
    return dropped_S[sequence_N]
