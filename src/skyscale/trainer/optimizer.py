"""The optimizer: AdamW with a linear warm-up, one fused kernel over all parameters."""

from collections.abc import Iterable

import torch
from torch import nn

from skyscale.wire.runs import Algorithm


def make_optimizer(parameters: Iterable[nn.Parameter], algorithm: Algorithm) -> torch.optim.AdamW:
    """AdamW (arXiv:1711.05101) with the run's settings; `learning_rate` must be resolved.

    Raises:
        ValueError: the specification came without a learning rate.
    """
    if algorithm.learning_rate is None:
        raise ValueError("the run's specification has no learning_rate")
    return torch.optim.AdamW(
        parameters,
        lr=algorithm.learning_rate,
        betas=(algorithm.adam_beta1, algorithm.adam_beta2),
        weight_decay=algorithm.weight_decay,
        fused=True,
    )


def learning_rate(algorithm: Algorithm, step: int) -> float:
    """The rate of optimizer step `step` (from 0): rises linearly to its full value over `warmup_steps` steps."""
    assert algorithm.learning_rate is not None
    return algorithm.learning_rate * min(1.0, (step + 1) / (algorithm.warmup_steps + 1))
