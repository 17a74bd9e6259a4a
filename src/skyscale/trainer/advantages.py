"""Advantages inside one group. Letters: G episodes of a group."""

from typing import Literal

import torch
from torch import Tensor

EPSILON = 1e-6
"""Added to the deviation, as verl does; a group of equal rewards is zero before it is divided."""


def group_advantage(rewards_G: Tensor, normalisation: Literal["mean", "mean_std"] = "mean") -> Tensor:
    """Advantage of each episode over its group's mean, shape [G]; a group of equal rewards gives zeros.

    `mean` stays in reward units (Dr. GRPO, arXiv:2503.20783). `mean_std` divides by the sample deviation of the group
    (GRPO, arXiv:2402.03300), which weights groups by difficulty: those nearly all right or all wrong count most.

    Raises:
        ValueError: fewer than two rewards, where no baseline exists.
    """
    if rewards_G.numel() < 2:
        raise ValueError(f"a group of {rewards_G.numel()} has no baseline")
    distance_G = rewards_G - rewards_G.mean()
    if normalisation == "mean":
        return distance_G
    if bool((rewards_G == rewards_G[0]).all()):
        return torch.zeros_like(distance_G)
    return distance_G / (rewards_G.std() + EPSILON)


def overlong_penalty(num_tokens_G: Tensor, max_new_tokens: int, buffer: float, factor: float) -> Tensor:
    """What is added to each reward, never positive, shape [G]: DAPO's soft overlong punishment (arXiv:2503.14476, 3.4).

    Nothing up to `max_new_tokens * (1 - buffer)` tokens, from there linearly down to `-factor` at `max_new_tokens`.
    """
    buffer_tokens = max_new_tokens * buffer
    over_G = (num_tokens_G - (max_new_tokens - buffer_tokens)) / buffer_tokens
    return -factor * over_G.clamp(0.0, 1.0)
