"""Chunked log-probabilities: the plain form's numbers, without its memory."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skyscale.trainer import logprobs
from skyscale.trainer.logprobs import chunked_logprobs, token_logprobs
from skyscale.wire.runs import Algorithm
from tests.unit.trainer import pinned


class _Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.elements = max(self.elements, leaf.numel())
        return result


def _inputs(num_tokens: int, width: int, vocab: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(num_tokens, width, generator=generator).to(dtype).requires_grad_()
    head = torch.randn(vocab, width, generator=generator).mul(0.3).to(dtype).requires_grad_()
    target = torch.randint(vocab, (num_tokens,), generator=generator)
    weight = torch.randn(num_tokens, generator=generator)
    return hidden, head, target, weight


@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_values_and_gradients_are_those_of_the_plain_form(rows: int, temperature: float):
    hidden, head, target, weight = _inputs(53, 24, 301)
    plain = -F.cross_entropy(F.linear(hidden, head) / temperature, target, reduction="none")
    wanted = torch.autograd.grad((plain * weight).sum(), (hidden, head))
    chunked = chunked_logprobs(hidden, head, target, temperature, rows)
    found = torch.autograd.grad((chunked * weight).sum(), (hidden, head))
    torch.testing.assert_close(chunked, plain, atol=2e-6, rtol=1e-6)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_huge_logits_stay_finite():
    hidden, head, target, _ = _inputs(5, 8, 40)
    found = chunked_logprobs(hidden * 1e4, head, target, 1.0, 2)
    plain = -F.cross_entropy(F.linear(hidden * 1e4, head), target, reduction="none")
    assert bool(torch.isfinite(found).all())
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-2)


def test_a_frozen_head_gets_no_gradient_and_half_precision_inputs_give_fp32():
    hidden, head, target, _ = _inputs(9, 8, 40, torch.bfloat16)
    found = chunked_logprobs(hidden, head.detach(), target, 1.0, 4)
    found.sum().backward()
    exact = F.linear(hidden.detach().float(), head.detach().float()).log_softmax(-1).gather(1, target[:, None])[:, 0]
    assert found.dtype == torch.float32
    assert hidden.grad is not None
    torch.testing.assert_close(found, exact, atol=1e-5, rtol=1e-5)


def test_no_tensor_is_as_large_as_tokens_times_vocabulary(monkeypatch: pytest.MonkeyPatch):
    tokens, vocab = 300, 2000
    monkeypatch.setattr(logprobs, "PLAIN_ELEMENTS", tokens * vocab - 1)
    monkeypatch.setitem(logprobs.CHUNK_ELEMENTS, "cpu", 16 * vocab)
    hidden, head, target, weight = _inputs(tokens, 8, vocab)
    with _Largest() as seen:
        (token_logprobs(hidden, head, target, 1.0) * weight).sum().backward()
    assert seen.elements <= 16 * vocab
    with _Largest() as plain:
        (-F.cross_entropy(F.linear(hidden, head), target, reduction="none") * weight).sum().backward()
    assert plain.elements == tokens * vocab


def test_training_is_the_same_with_chunks(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch):
    algorithm = Algorithm(learning_rate=1e-2, minibatches=2)
    plain = pinned.trajectory(tiny_folder, algorithm, steps=2)
    monkeypatch.setattr(logprobs, "PLAIN_ELEMENTS", 0)
    monkeypatch.setitem(logprobs.CHUNK_ELEMENTS, "cpu", 250)
    assert pinned.trajectory(tiny_folder, algorithm, steps=2) == pytest.approx(plain, abs=1e-5)
