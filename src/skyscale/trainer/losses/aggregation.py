"""From losses of tokens to one number per optimizer step: the denominators in which the algorithms differ.

    token_mean     sum of all tokens' losses / tokens of the step                     (DAPO, arXiv:2503.14476)
    sequence_mean  mean over sequences of the mean over their tokens                  (GRPO, arXiv:2402.03300; GSPO)
    constant       sum of all tokens' losses / (sequences of the step * max_new_tokens) (Dr. GRPO, arXiv:2503.20783)

Every one is (sum over tokens of scale * loss) / denominator, where the scale depends on the token's own sequence alone
and the denominator on the whole step: so micro-batches add up, however they are cut. Letters: N tokens, S sequences.
"""

from typing import Literal

import torch
from torch import Tensor

from skyscale.trainer.losses.sequences import sequence_lengths

Aggregation = Literal["token_mean", "sequence_mean", "constant"]


def token_scale(rule: Aggregation, sequence_N: Tensor, num_sequences: int, max_new_tokens: int | None) -> Tensor:
    """How much each token counts before the division, fp32 [N]."""
    if rule == "sequence_mean":
        return (1.0 / sequence_lengths(sequence_N, num_sequences).float())[sequence_N]
    scale = 1.0
    if rule == "constant":
        assert max_new_tokens is not None
        scale = 1.0 / max_new_tokens
    return torch.full(sequence_N.shape, scale, device=sequence_N.device)


def denominator(rule: Aggregation, num_tokens: int, num_sequences: int) -> int:
    """What the step's sum is divided by; at least 1."""
    return max(1, num_tokens if rule == "token_mean" else num_sequences)
