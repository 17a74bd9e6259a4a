"""Half-precision compute beside fp32 masters, and layers that are computed twice."""

from pathlib import Path

import pytest
import torch

from skyscale.decoder.checkpoint import load_decoder
from skyscale.trainer.checkpoint import capture, restore
from skyscale.trainer.step import Learner
from skyscale.wire.runs import Algorithm
from tests.unit.trainer import pinned

ALGORITHM = Algorithm(learning_rate=1e-2, minibatches=2, warmup_steps=0)


def _learner(folder: Path, dtype: torch.dtype | None = None, rate: float = 1e-2) -> Learner:
    algorithm = ALGORITHM.model_copy(update={"learning_rate": rate})
    return Learner(pinned.decoder(folder), algorithm, 1.0, compute_dtype=dtype)


def test_masters_in_fp32_change_nothing(tiny_folder: Path):
    plain, mastered = _learner(tiny_folder), _learner(tiny_folder, torch.float32)
    for version in range(3):
        a, b = plain.train(pinned.groups(), version), mastered.train(pinned.groups(), version)
        assert b.metrics["loss"] == pytest.approx(a.metrics["loss"], abs=1e-6)
    for name, weight in plain.weights.items():
        torch.testing.assert_close(mastered.weights[name], weight, atol=1e-6, rtol=1e-5)


def test_half_precision_follows_fp32_and_masters_keep_steps_that_rounding_would_lose(tiny_folder: Path):
    plain, half = _learner(tiny_folder, rate=1e-6), _learner(tiny_folder, torch.bfloat16, rate=1e-6)
    before = {name: weight.detach().clone() for name, weight in half.weights.items()}
    for version in range(3):
        a, b = plain.train(pinned.groups(), version), half.train(pinned.groups(), version)
        assert b.metrics["loss"] == pytest.approx(a.metrics["loss"], abs=2e-2)
        assert b.metrics["grad_norm"] == pytest.approx(a.metrics["grad_norm"], rel=5e-2)
    for name, parameter in half.model.named_parameters():
        assert parameter.dtype == torch.bfloat16
        assert parameter.grad is None
        assert torch.equal(parameter, half.weights[name].to(torch.bfloat16))
    moved = float((half.weights["blocks.0.qkv"].detach() - before["blocks.0.qkv"]).abs().max())
    assert 1e-7 < moved < 1e-4


def test_a_resumed_half_precision_learner_goes_on_bit_for_bit(tiny_folder: Path):
    straight = _learner(tiny_folder, torch.bfloat16)
    straight.train(pinned.groups(), 0)
    snapshot = capture(straight)
    assert all(tensor.dtype == torch.float32 for tensor in snapshot.weights.values())
    expected = straight.train(pinned.groups(), 1).metrics
    resumed = _learner(tiny_folder, torch.bfloat16)
    restore(resumed, snapshot)
    assert resumed.train(pinned.groups(), 1).metrics == expected


def test_recomputed_layers_give_the_same_gradients_with_fewer_kept_tensors(tiny_folder: Path):
    ids, positions = torch.arange(40)[None] % 50, torch.arange(40)[None]
    kept: dict[bool, int] = {}
    gradients: dict[bool, list[torch.Tensor]] = {}
    for recomputes in (False, True):
        model = load_decoder(tiny_folder)
        model.recomputes_blocks = recomputes
        sizes: list[int] = []
        keep = torch.autograd.graph.saved_tensors_hooks(lambda x, s=sizes: (s.append(x.numel()), x)[1], lambda x: x)
        with keep:
            loss = model(ids, positions).square().sum()
        loss.backward()
        kept[recomputes] = sum(sizes)
        gradients[recomputes] = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert kept[True] < kept[False] / 2
    assert all(torch.equal(a, b) for a, b in zip(gradients[False], gradients[True], strict=True))
