"""Attention of joined rows against the masked kernel on padded ones: values, gradients, and rows that are long."""

from pathlib import Path

import pytest
import torch

from skyscale.decoder.checkpoint import load_decoder
from skyscale.trainer import tree_attention
from skyscale.trainer.episodes import lesson
from skyscale.trainer.packing import MicroBatch, micro_batches, pack
from skyscale.trainer.step import Learner
from skyscale.trainer.tree_attention import JoinedRows, rows_attention
from skyscale.wire.runs import Algorithm

CPU = torch.device("cpu")


def _batches(groups: list, algorithm: Algorithm) -> tuple[MicroBatch, MicroBatch]:
    """The groups as one padded and as one joined micro-batch."""
    rows = [row for group in groups for row in pack(lesson(group, algorithm, None), 1000)]
    [padded] = micro_batches(rows, max_tokens=100_000, device=CPU, are_joined=False)
    [joined] = micro_batches(rows, max_tokens=100_000, device=CPU, are_joined=True)
    return padded, joined


@pytest.mark.parametrize("plain_tokens", [256, 0])
@pytest.mark.parametrize("num_kv", [1, 2, 4])
def test_joined_rows_attend_as_padded_ones_do(
    make_group, monkeypatch: pytest.MonkeyPatch, num_kv: int, plain_tokens: int
):
    monkeypatch.setattr(tree_attention, "PLAIN_TOKENS", plain_tokens)
    padded, joined = _batches([make_group(seed, 5) for seed in range(3)], Algorithm(learning_rate=1e-3))
    width, is_real = padded.ids_BT.shape[1], torch.zeros(padded.ids_BT.shape, dtype=torch.bool)
    for row, length in enumerate(joined.joined):
        is_real[row, :length] = True
    assert width > min(joined.joined), "rows of one length would not tell the two apart"
    generator = torch.Generator().manual_seed(num_kv)
    heads = (4, num_kv, num_kv)
    inputs = [torch.randn(*padded.ids_BT.shape, each, 8, generator=generator).requires_grad_() for each in heads]
    attend = rows_attention(padded, 4 // num_kv, torch.float32)
    expected = attend(0, *inputs)[is_real]
    attend = rows_attention(joined, 4 // num_kv, torch.float32)
    assert isinstance(attend, JoinedRows) and attend.is_plain == (plain_tokens > 0)
    found = attend(0, *(each[is_real][None] for each in inputs))[0]
    assert torch.allclose(found, expected, atol=1e-6)
    upstream = torch.randn(expected.shape, generator=generator)
    for ours, theirs in zip(
        torch.autograd.grad(found, inputs, upstream), torch.autograd.grad(expected, inputs, upstream), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_step_on_joined_rows_is_one_on_padded_rows(tiny_folder: Path, make_group, monkeypatch: pytest.MonkeyPatch):
    groups = [make_group(seed, 5) for seed in range(4)]

    def trained() -> tuple[dict[str, float], list[torch.Tensor]]:
        learner = Learner(load_decoder(tiny_folder), Algorithm(learning_rate=1e-3), 1.0)
        seen: list[torch.Tensor] = []
        for weight in learner.weights.values():
            weight.register_post_accumulate_grad_hook(lambda weight: seen.append(weight.grad.clone()))
        return learner.train(groups, 0).metrics, seen

    metrics, gradients = trained()
    monkeypatch.setattr("skyscale.trainer.step.micro_batches", _padded)
    padded_metrics, padded_gradients = trained()
    padded_metrics.pop("packed_share")
    assert metrics.pop("packed_share") > 0
    assert metrics == pytest.approx(padded_metrics, rel=1e-6, abs=1e-7)
    for ours, theirs in zip(gradients, padded_gradients, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-7)


def _padded(rows, *, max_tokens: int, device: torch.device, are_joined: bool) -> list[MicroBatch]:
    assert are_joined
    return micro_batches(rows, max_tokens=max_tokens, device=device, are_joined=False)
