"""The pieces of a block that are not a matrix product: RMS norm, rotary embedding, the mask's arithmetic form.

Letters: B batch, T tokens, H heads, D width of what is normalised.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from skyscale.decoder.config import RopeConfig


class _RmsNorm(torch.autograd.Function):
    """RMS norm with its gradient written out, in as few passes over memory as torch's operations allow."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = x.float()
        size = wide.shape[-1]
        # |x|^2 / D + eps is (|x|^2 + D * eps) / D, and a length is one pass where a mean of squares is two.
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        scale = length.square_().add_(size * eps).div_(size).rsqrt_()
        normed = wide * scale
        ctx.save_for_backward(normed, scale, weight)
        return normed.to(x.dtype) * weight

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        normed, scale, weight = ctx.saved_tensors
        grad = grads[0].float()
        along = grad * normed
        grad_weight = along.flatten(0, -1 - weight.dim()).sum(0).to(weight.dtype)
        pull = along.mul_(weight).mean(-1, keepdim=True).neg_()
        return (grad * weight).addcmul_(normed, pull).mul_(scale).to(grads[0].dtype), grad_weight, None


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """`x` over its root mean square along the last dimension (in fp32), times `weight` (arXiv:1910.07467).

    `weight` is [D] for all, or [H, D] with a row per head.
    """
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _RmsNorm.apply(x, weight, eps)  # pyright: ignore[reportReturnType]
    return F.rms_norm(x, (x.shape[-1],), None, eps) * weight


def inverse_frequencies(config: RopeConfig, head_dim: int) -> Tensor:
    """Rotations per position of each pair of features, fp32 on the CPU, shape [head_dim / 2].

    `llama3` follows transformers' `_compute_llama3_parameters`.
    """
    steps = torch.arange(0, head_dim, 2, dtype=torch.int64, device="cpu").float()
    freqs = 1.0 / (config.theta ** (steps / head_dim))
    if config.type == "linear":
        return freqs / config.factor
    if config.type == "default":
        return freqs
    wavelength = 2 * math.pi / freqs
    longest = config.original_max_positions / config.low_freq_factor
    shortest = config.original_max_positions / config.high_freq_factor
    ramp = (config.original_max_positions / wavelength - config.low_freq_factor) / (
        config.high_freq_factor - config.low_freq_factor
    )
    between = (1 - ramp) * freqs / config.factor + ramp * freqs
    stretched = torch.where(wavelength > longest, freqs / config.factor, freqs)
    is_between = (wavelength <= longest) & (wavelength >= shortest)
    return torch.where(is_between, between, stretched)


def rotation(inverse: Tensor, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines for `positions` [...], each [..., head_dim / 2]."""
    angles = positions.float()[..., None] * inverse
    return angles.cos().to(dtype), angles.sin().to(dtype)


class _Rotate(torch.autograd.Function):
    """The gradient of a rotation is the rotation by the opposite angle."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotated(x, cos, sin, 1.0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _rotated(grads[0], cos, sin, -1.0), None, None


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`x` [..., H, head_dim] with its two halves rotated by angles [..., 1, head_dim / 2] (arXiv:2104.09864).

    There is a gradient for `x` alone.
    """
    return _Rotate.apply(x, cos, sin)  # pyright: ignore[reportReturnType]


def _rotated(x: Tensor, cos: Tensor, sin: Tensor, sign: float) -> Tensor:
    result = x * torch.cat((cos, cos), dim=-1)
    for half, other, direction in zip(result.chunk(2, -1), x.chunk(2, -1)[::-1], (-sign, sign), strict=True):
        half.addcmul_(other, sin, value=direction)
    return result


def additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask (true: may attend) as numbers to add to scores; a float mask is returned in `dtype`.

    The most negative finite number stands for "never", so a row that may attend to nothing stays finite.
    """
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)


class _SwiGlu(torch.autograd.Function):
    """silu(gate) * up; the gradients of both halves are written side by side instead of being joined afterwards."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        opened = F.silu(gate)
        ctx.save_for_backward(gate_up, opened)
        return opened * up

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        gate_up, opened = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        result = torch.empty_like(gate_up)
        grad_gate, grad_up = result.chunk(2, dim=-1)
        torch.mul(grads[0], opened, out=grad_up)
        torch.ops.aten.silu_backward.grad_input(grads[0] * up, gate, grad_input=grad_gate)
        return result


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up of a fused projection [..., 2 * mlp_size]."""
    return _SwiGlu.apply(gate_up)  # pyright: ignore[reportReturnType]
