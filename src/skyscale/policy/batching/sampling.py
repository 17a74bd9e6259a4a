"""Sampling by inverse distribution function: one uniform number per token.

Letters: R rows, V vocabulary.
"""

import torch
from torch import Tensor

EXACT_SUM_VOCABULARY = 8192
"""Up to so many entries an fp32 running sum is exact enough (error below 1e-5); beyond, it is taken in fp64."""


def sample_tokens(logits_RV: Tensor, uniform_R: Tensor, temperature_R: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """A token per row and its log-probability at the row's temperature, shapes [R] and [R].

    A temperature of 0 takes the likeliest token and reports its log-probability at temperature 1; without temperatures
    they are all 1.
    """
    is_greedy, logits = None, logits_RV.float()
    if temperature_R is not None:
        is_greedy = temperature_R == 0
        logits = logits / torch.where(is_greedy, 1.0, temperature_R)[:, None]
    probabilities = torch.softmax(logits, dim=-1)
    sum_dtype = torch.float32 if logits.shape[-1] <= EXACT_SUM_VOCABULARY else torch.float64
    mass = probabilities.cumsum(-1, dtype=sum_dtype)
    # `right`: the first entry whose running sum exceeds the threshold, so tokens of probability 0 are never taken.
    threshold = uniform_R.to(sum_dtype).unsqueeze(1) * mass.narrow(1, -1, 1)
    tokens = torch.searchsorted(mass, threshold, right=True).clamp_(max=logits.shape[-1] - 1)
    if is_greedy is not None:
        tokens = torch.where(is_greedy[:, None], logits.argmax(-1, keepdim=True), tokens)
    return tokens.squeeze(1), probabilities.gather(1, tokens).squeeze(1).log()
