"""Sampling by inverse distribution function: one uniform number per token, fixed by (seed, sample, position).

Randomness is counter-based and drawn per sample, so it cannot depend on what else is in the batch.
Letters: R rows, V vocabulary.
"""

import numpy as np
import torch
from torch import Tensor

DRAWN_AT_ONCE = 64
EXACT_SUM_VOCABULARY = 8192
"""Up to so many entries an fp32 running sum is exact enough (error below 1e-5); beyond, it is taken in fp64."""


class Uniforms:
    """The numbers in [0, 1) that choose one sample's tokens, in order (Philox, Salmon et al. 2011)."""

    def __init__(self, seed: int, sample: int) -> None:
        self._generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, sample]))
        self._drawn: list[float] = []

    def __getitem__(self, position: int) -> float:
        """The number for the token at `position` of the completion."""
        while position >= len(self._drawn):
            self._drawn.extend(self._generator.random(DRAWN_AT_ONCE).tolist())
        return self._drawn[position]


def sample_tokens(logits_RV: Tensor, temperature_R: Tensor, uniform_R: Tensor) -> tuple[Tensor, Tensor]:
    """A token per row and its log-probability at the row's temperature, shapes [R] and [R].

    A temperature of 0 takes the likeliest token and reports its log-probability at temperature 1.
    """
    is_greedy = temperature_R == 0
    scale = torch.where(is_greedy, 1.0, temperature_R).reciprocal_()[:, None]
    logprobs = torch.log_softmax(logits_RV.float() * scale, dim=-1)
    sum_dtype = torch.float32 if logits_RV.shape[-1] <= EXACT_SUM_VOCABULARY else torch.float64
    mass = logprobs.exp().cumsum(-1, dtype=sum_dtype)
    # `right`: the first entry whose running sum exceeds the threshold, so tokens of probability 0 are never taken.
    threshold = uniform_R.to(sum_dtype)[:, None] * mass[:, -1:]
    tokens = torch.searchsorted(mass, threshold, right=True).squeeze(1).clamp_(max=logits_RV.shape[-1] - 1)
    if bool(is_greedy.any()):
        tokens = torch.where(is_greedy, logits_RV.argmax(-1), tokens)
    return tokens, logprobs.gather(1, tokens[:, None]).squeeze(1)
