"""The arithmetic of learning against numbers worked out by hand and against plain sequences in transformers."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import Qwen3ForCausalLM

from skyscale.decoder.checkpoint import hf_state_dict, load_decoder
from skyscale.trainer import step as step_module
from skyscale.trainer.advantages import group_advantage
from skyscale.trainer.losses.grpo import grpo_loss
from skyscale.trainer.losses.importance import importance_weight
from skyscale.trainer.optimizer import learning_rate
from skyscale.trainer.step import Learner
from skyscale.wire.batches import LeasedGroup
from skyscale.wire.runs import Algorithm

ALGORITHM = Algorithm(
    learning_rate=1e-2, warmup_steps=0, importance_low=0.0, importance_high=1e9, importance_cap=1e9, clip_engine=False
)


def _learner(folder: Path, algorithm: Algorithm = ALGORITHM, temperature: float = 1.0) -> Learner:
    return Learner(load_decoder(folder), algorithm, temperature)


def _gradients(learner: Learner, groups: list[LeasedGroup], monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The gradient of one batch under transformers' names, caught before the optimizer sees it."""

    def catch(learner: Learner) -> float:
        with torch.no_grad():
            for parameter in learner.model.parameters():
                assert parameter.grad is not None
                parameter.copy_(parameter.grad)
        return 0.0

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "_update", catch)
        learner.train(groups, 0)
    return hf_state_dict(learner.model)


def _naive(folder: Path, groups: list[LeasedGroup], temperature: float = 1.0) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradient of the on-policy objective, one plain sequence at a time, in transformers."""
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    total = sum(len(t.completion_ids) for g in groups for t in g.trajectories)
    loss_sum = 0.0
    for group in groups:
        mean = sum(t.reward for t in group.trajectories) / len(group.trajectories)
        for t in group.trajectories:
            ids = torch.tensor([group.prompt_ids + t.completion_ids])
            logits = model(input_ids=ids).logits[0, len(group.prompt_ids) - 1 : -1] / temperature
            logprob = logits.log_softmax(-1)[torch.arange(len(t.completion_ids)), torch.tensor(t.completion_ids)]
            rho = torch.exp(logprob.detach() - torch.tensor(t.logprobs))
            loss = -(rho * torch.exp(logprob - logprob.detach()) * (t.reward - mean)).sum() / total
            loss.backward()
            loss_sum += float(loss.detach())
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return loss_sum, gradients


def test_advantage_is_the_distance_from_the_group_mean_without_the_deviation():
    assert group_advantage(torch.tensor([1.0, 0.0, 0.0, 0.6])).tolist() == pytest.approx([0.6, -0.4, -0.4, 0.2])
    assert group_advantage(torch.tensor([0.5, 0.5])).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="baseline"):
        group_advantage(torch.tensor([1.0]))


def test_loss_and_clip_agree_with_hand_computed_values():
    # ratios 1.5, 1.5, 0.5, 0.5, 1.1 with advantages +, -, +, -, +; bounds 0.8 and 1.28
    ratio = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1])
    old = torch.tensor([-1.0, -2.0, -1.0, -3.0, -0.5])
    logprob = (old + ratio.log()).requires_grad_()
    advantage = torch.tensor([1.0, -1.0, 1.0, -1.0, 2.0])
    weight = torch.tensor([1.0, 1.0, 1.0, 0.5, 0.5])
    result = grpo_loss(logprob, old, advantage, weight, clip_low=0.2, clip_high=0.28)
    assert result.loss_N.tolist() == pytest.approx([-1.28, 1.5, -0.5, 0.4, -1.1], abs=1e-5)
    assert result.clipped_N.tolist() == [True, False, False, True, False]
    result.loss_N.sum().backward()
    assert logprob.grad is not None
    # A clipped token has no gradient; another has -weight * advantage * ratio.
    assert logprob.grad.tolist() == pytest.approx([0.0, 1.5, -0.5, 0.0, -1.1], abs=1e-5)


def test_at_ratio_one_the_gradient_is_the_policy_gradient():
    logits = torch.tensor([[0.3, -0.2, 0.9]], requires_grad=True)
    logprob = logits.log_softmax(-1)[:, 2]
    result = grpo_loss(
        logprob, logprob.detach(), torch.tensor([0.7]), torch.tensor([1.0]), clip_low=0.2, clip_high=0.28
    )
    result.loss_N.sum().backward()
    exp = [math.exp(0.3), math.exp(-0.2), math.exp(0.9)]
    p = [e / sum(exp) for e in exp]
    assert float(result.loss_N.detach()[0]) == pytest.approx(-0.7)
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx([0.7 * p[0], 0.7 * p[1], 0.7 * (p[2] - 1)], abs=1e-5)


def test_importance_weights_are_truncated_and_outliers_masked():
    rho = torch.tensor([1.0, 1.9, 3.0, 5.1, 0.6, 0.4, float("nan"), float("inf")])
    result = importance_weight(rho.log(), torch.zeros(8), cap=2.0, low=0.5, high=5.0)
    assert result.weight_N.tolist() == pytest.approx([1.0, 1.9, 2.0, 0.0, 0.6, 0.0, 0.0, 0.0], abs=1e-5)
    assert result.masked_N.tolist() == [False, False, False, True, False, True, True, True]


def test_learning_rate_rises_linearly_to_its_full_value():
    algorithm = Algorithm(learning_rate=0.6, warmup_steps=5)
    assert [learning_rate(algorithm, i) for i in range(7)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6])


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_loss_and_gradient_of_packed_groups_equal_plain_sequences_in_transformers(
    tiny_folder: Path, make_group, monkeypatch: pytest.MonkeyPatch, temperature: float
):
    groups = [make_group(1, 9), make_group(2, 3), make_group(3, 14, [[5], [5, 6], [5, 6], [7, 8, 9]], [1, 0, 0.5, 0.2])]
    expected_loss, expected = _naive(tiny_folder, groups, temperature)
    learner = _learner(tiny_folder, temperature=temperature)
    report = learner.train(groups, 0)
    assert report.metrics["loss"] == pytest.approx(expected_loss, abs=1e-5)
    found = _gradients(_learner(tiny_folder, temperature=temperature), groups, monkeypatch)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4)


def test_cutting_into_micro_batches_changes_nothing(tiny_folder: Path, make_group, monkeypatch: pytest.MonkeyPatch):
    groups = [make_group(seed, 4 + seed) for seed in range(5)]
    whole = _gradients(_learner(tiny_folder), groups, monkeypatch)
    monkeypatch.setitem(step_module.MICRO_BATCH_TOKENS, "cpu", 1)
    monkeypatch.setattr(step_module, "MAX_ROW_TOKENS", 16)
    cut = _gradients(_learner(tiny_folder), groups, monkeypatch)
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, atol=1e-6, rtol=1e-4)


def test_later_minibatches_use_the_logprobs_from_before_the_first_step(tiny_folder: Path, make_group):
    groups = [make_group(seed, 5) for seed in range(4)]
    two = _learner(tiny_folder, ALGORITHM.model_copy(update={"minibatches": 2}))
    report = two.train(groups, 0)
    one = _learner(tiny_folder)
    alone = one.train(groups, 0)
    assert two.num_steps == 2
    assert alone.metrics["ratio"] == 1.0
    assert report.metrics["ratio"] != 1.0
    # The mismatch is measured before any step, so the cutting does not touch it.
    assert report.metrics["mismatch_kl"] == pytest.approx(alone.metrics["mismatch_kl"], rel=1e-5)


def test_training_raises_the_probability_of_what_was_rewarded(tiny_folder: Path, make_group):
    group = make_group(1, 6, [[3, 4, 5], [6, 7, 8]], [1.0, 0.0])
    learner = _learner(tiny_folder)
    losses = [learner.train([group], 0).metrics["loss"] for _ in range(5)]
    # -rho * A summed over both signs falls as the good completion gains and the bad one loses.
    assert losses == sorted(losses, reverse=True)


def test_a_gradient_that_is_not_finite_is_left_out_and_counted(tiny_folder: Path, make_group):
    learner = _learner(tiny_folder)
    learner.train([make_group(1, 5)], 0)
    before = [p.detach().clone() for p in learner.model.parameters()]
    poisoned = make_group(2, 5, [[1, 2], [3, 4]], [1.0, 0.0])
    bad = poisoned.trajectories[0].model_copy(update={"reward": float("nan")})
    report = learner.train([poisoned.model_copy(update={"trajectories": [bad, poisoned.trajectories[1]]})], 1)
    assert report.skipped_steps == 1
    assert all(torch.equal(a, b) for a, b in zip(before, learner.model.parameters(), strict=True))
    assert learner.train([make_group(3, 5)], 2).skipped_steps == 0


def test_staleness_is_counted_from_the_versions_of_the_tokens(tiny_folder: Path, make_group):
    group = make_group(1, 5, [[1, 2, 3], [4]], [1.0, 0.0])
    aged = group.trajectories[0].model_copy(update={"versions": [4, 5, 5]})
    young = group.trajectories[1].model_copy(update={"versions": [7]})
    report = _learner(tiny_folder).train([group.model_copy(update={"trajectories": [aged, young]})], 7)
    assert report.metrics["staleness"] == pytest.approx((3 + 2 + 2 + 0) / 4)
    assert report.metrics["staleness_max"] == 3.0
    assert report.episode_reward == 0.5
