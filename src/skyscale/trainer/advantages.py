"""Advantages inside one group. Letters: G episodes of a group."""

from torch import Tensor


def group_advantage(rewards_G: Tensor) -> Tensor:
    """Advantage of each episode over its group's mean, shape [G], in reward units.

    Not divided by the standard deviation, which would weight groups by difficulty (Dr. GRPO, arXiv:2503.20783).
    A group of equal rewards gives zeros.

    Raises:
        ValueError: fewer than two rewards, where no baseline exists.
    """
    if rewards_G.numel() < 2:
        raise ValueError(f"a group of {rewards_G.numel()} has no baseline")
    return rewards_G - rewards_G.mean()
