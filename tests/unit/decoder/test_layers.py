"""Gradients that are written out by hand, against those that torch derives from the plain formula."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from skyscale.decoder.config import from_dict
from skyscale.decoder.layers import rms_norm, rotate, swiglu
from skyscale.decoder.model import Decoder


def _plain_norm(x: Tensor, weight: Tensor) -> Tensor:
    return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * weight


def _plain_rotation(x: Tensor, angle: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()), dim=-1)


def _plain_swiglu(x: Tensor) -> Tensor:
    gate, up = x.chunk(2, dim=-1)
    return gate * torch.sigmoid(gate) * up


ANGLE = torch.linspace(-3, 3, 7 * 4, dtype=torch.float64).view(1, 7, 1, 4)
CASES: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], tuple[tuple[int, ...], ...]]] = {
    "norm": (lambda x, w: rms_norm(x, w, 1e-6), _plain_norm, ((1, 7, 8), (8,))),
    "norm of heads": (lambda x, w: rms_norm(x, w, 1e-6), _plain_norm, ((1, 7, 3, 8), (3, 8))),
    "rotation": (lambda x: rotate(x, ANGLE.cos().float(), ANGLE.sin().float()),
                 lambda x: _plain_rotation(x, ANGLE), ((1, 7, 3, 8),)),
    "swiglu": (swiglu, _plain_swiglu, ((1, 7, 16),)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_layer_and_its_gradient_are_those_of_the_formula(case: str) -> None:
    ours, formula, shapes = CASES[case]
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    exact = [each.detach().double().requires_grad_() for each in inputs]
    found, expected = ours(*inputs), formula(*exact)
    assert torch.allclose(found.double(), expected, atol=1e-6)
    upstream = torch.randn(found.shape, generator=generator)
    gradients = torch.autograd.grad(found, inputs, upstream)
    for mine, wanted in zip(gradients, torch.autograd.grad(expected, exact, upstream.double()), strict=True):
        assert torch.allclose(mine.double(), wanted, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_a_layer_of_zeros_has_finite_gradients(case: str) -> None:
    ours, _, shapes = CASES[case]
    inputs = [torch.zeros(shape).requires_grad_() for shape in shapes]
    gradients = torch.autograd.grad(ours(*inputs).sum(), inputs)
    assert all(bool(torch.isfinite(each).all()) for each in gradients)


@pytest.mark.parametrize("recomputes", [False, True])
def test_wanted_tokens_are_what_indexing_the_whole_gives(recomputes: bool) -> None:
    config = {
        "model_type": "qwen3", "vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 24, "rms_norm_eps": 1e-6, "rope_theta": 1e4,
        "max_position_embeddings": 64, "tie_word_embeddings": True,
    }  # fmt: skip
    model = Decoder(from_dict(config, None))
    model.initialize(0.3, torch.Generator().manual_seed(0))
    model.recomputes_blocks = recomputes
    ids, positions = torch.randint(20, (2, 9), generator=torch.Generator().manual_seed(1)), torch.arange(9).expand(2, 9)
    wanted = torch.tensor([3, 3, 17, 9])
    found, whole = model(ids, positions, wanted_N=wanted), model(ids, positions).flatten(0, 1)[wanted]
    assert torch.allclose(found, whole, atol=1e-6)
    for mine, theirs in zip(
        torch.autograd.grad(found.square().sum(), list(model.parameters())),
        torch.autograd.grad(whole.square().sum(), list(model.parameters())),
        strict=True,
    ):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-5)
