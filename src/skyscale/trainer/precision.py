"""Weights in two precisions: the model computes in half precision, the optimizer steps on fp32 masters.

- The master is the truth: it is stepped, clipped and checkpointed; the model's weight is its rounding, the same one
  that a published version holds, so trainer and engine compute with equal weights.
- Gradients of micro-batches are added up in fp32: each is moved to the master as soon as it is complete, so the model
  holds no gradient between backward passes.
- A weight that is frozen has no master.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that have gradients, by name, in the model's order."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


class Masters:
    """fp32 copies of a model's trainable weights; making them casts the whole model to `dtype`, in place."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        self._computed = trainable(model)
        self.weights = {
            name: nn.Parameter(parameter.detach().to(torch.float32, copy=True))
            for name, parameter in self._computed.items()
        }
        for parameter in model.parameters():
            parameter.data = parameter.data.to(dtype)
        for name, parameter in self._computed.items():
            parameter.register_post_accumulate_grad_hook(self._mover(self.weights[name]))

    def push(self) -> None:
        """Round every master into the model."""
        with torch.no_grad():
            for name, parameter in self._computed.items():
                parameter.copy_(self.weights[name])

    @staticmethod
    def _mover(master: nn.Parameter) -> Callable[[Tensor], None]:
        def move(parameter: Tensor) -> None:
            assert parameter.grad is not None
            if master.grad is None:
                master.grad = parameter.grad.float()
            else:
                master.grad.add_(parameter.grad)
            parameter.grad = None

        return move
