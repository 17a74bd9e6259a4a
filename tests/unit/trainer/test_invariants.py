"""What must not change a step, whatever the algorithm: packing, order, micro-batches; and what a step is, pinned."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from skyscale.trainer import step as step_module
from skyscale.trainer.step import Learner
from skyscale.wire.algorithms import PRESETS, Algorithm
from skyscale.wire.batches import LeasedGroup
from skyscale.wire.episodes import Outcome
from tests.unit.trainer import pinned

EXTRAS: dict[str, dict[str, object]] = {
    "geometric": {"sequence_mask": "geometric", "sequence_mask_low": 0.7, "sequence_mask_high": 1.4},
    "k1": {"kl_coefficient": 0.1, "kl_estimator": "k1"},
    "k3": {"kl_coefficient": 0.1, "kl_estimator": "k3"},
    "naive": {"proximal": "engine", "correction": "none"},
    "masked": {"overlong": "mask"},
}
CASES: dict[str, dict[str, object]] = {name: {"name": name} for name in PRESETS} | EXTRAS
LOOSE: dict[str, object] = {"importance_cap": 1e9, "importance_low": 0.0, "importance_high": 1e9}


def _algorithm(case: str, **changes: object) -> Algorithm:
    return Algorithm.model_validate(
        CASES[case] | {"learning_rate": 1e-2, "warmup_steps": 0, "groups_per_step": 4} | changes
    )


def _learner(folder: Path, algorithm: Algorithm) -> Learner:
    reference = pinned.decoder(folder, seed=0.3).requires_grad_(False) if algorithm.kl_coefficient else None
    return Learner(pinned.decoder(folder), algorithm, 1.0, 12, reference)


def _gradients(learner: Learner, groups: list[LeasedGroup], monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    caught: list[Tensor] = []

    def catch(self: Learner) -> float:
        caught.extend(p.grad.clone() for p in self.model.parameters() if p.grad is not None)
        self.optimizer.zero_grad()
        return 0.0

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "_update", catch)
        learner.train(groups, 0)
    return caught


def _with_truncated(groups: list[LeasedGroup]) -> list[LeasedGroup]:
    first = groups[0].trajectories[0].model_copy(update={"outcome": Outcome.TRUNCATED})
    return [groups[0].model_copy(update={"trajectories": [first, *groups[0].trajectories[1:]]}), *groups[1:]]


@pytest.mark.parametrize("case", CASES)
def test_packing_order_and_micro_batches_change_nothing(tiny_folder: Path, case: str, monkeypatch: pytest.MonkeyPatch):
    algorithm = _algorithm(case, minibatches=1)
    groups = _with_truncated(pinned.groups())
    whole = _gradients(_learner(tiny_folder, algorithm), groups, monkeypatch)
    assert max(float(each.abs().max()) for each in whole) > 1e-4
    turned = [each.model_copy(update={"trajectories": each.trajectories[::-1]}) for each in groups[::-1]]
    monkeypatch.setitem(step_module.MICRO_BATCH_TOKENS, "cpu", 1)
    monkeypatch.setattr(step_module, "MAX_ROW_TOKENS", 12)
    cut = _gradients(_learner(tiny_folder, algorithm), turned, monkeypatch)
    for a, b in zip(whole, cut, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("case", list(EXTRAS))
def test_every_part_matters(tiny_folder: Path, case: str, monkeypatch: pytest.MonkeyPatch):
    groups = _with_truncated(pinned.groups())
    plain = _gradients(_learner(tiny_folder, _algorithm("skyscale")), groups, monkeypatch)
    other = _gradients(_learner(tiny_folder, _algorithm(case)), groups, monkeypatch)
    assert max(float((a - b).abs().max()) for a, b in zip(plain, other, strict=True)) > 1e-4


PINNED = {
    "skyscale": [0.031616, 0.4961, -0.035314, 0.329748, -0.071276, 0.183996],
    "grpo": [0.193247, 1.872224, 0.034626, 0.730009, -0.022248, 0.488877],
    "dr_grpo": [0.013834, 0.195712, -0.010766, 0.124309, -0.025315, 0.070765],
    "dapo": [0.05383, 1.12285, -0.104765, 0.665283, -0.177023, 0.517219],
    "gspo": [0.210913, 1.51242, -0.037384, 0.542325, -0.013932, 0.585708],
    # One weight's first gradient is some 1e-8, rounding error and no more; Adam makes a step of 1e-3 of it.
    "cispo": [0.154252, 1.695624, 0.92034, 2.463471, 1.224123, 2.331815],
    "decoupled_ppo": [0.032905, 2.542575, -0.12906, 1.834936, -0.540344, 1.268135],
    "geometric": [0.042791, 0.393366, 0.04945, 0.503465, -0.128721, 0.176315],
    "k1": [0.031482, 0.491298, 0.007254, 0.449191, -0.05199, 0.268825],
    "k3": [0.031767, 0.491344, 0.012049, 0.444097, -0.040494, 0.238153],
    "naive": [0.022279, 0.501414, -0.039634, 0.320257, -0.073329, 0.20584],
    "masked": [0.047163, 0.454898, -0.008667, 0.327457, -0.027569, 0.236281],
}


@pytest.mark.parametrize("case", CASES)
def test_the_pinned_trajectory_of_losses_and_gradient_norms(tiny_folder: Path, case: str):
    learner = _learner(tiny_folder, _algorithm(case))
    found: list[float] = []
    for version in range(3):
        metrics = learner.train(_with_truncated(pinned.groups()), version).metrics
        found += [metrics["loss"], metrics["grad_norm"]]
    assert found == pytest.approx(PINNED[case], abs=2e-5)


@pytest.mark.parametrize(
    ("minibatches", "expected"),
    [
        (1, [-0.017015, 0.432726, -0.055163, 0.795462, -0.067312, 0.444751, -0.100936, 0.342662]),
        (2, [0.031729, 0.545023, -0.095562, 0.479815, -0.131133, 0.488832, -0.186984, 0.467024]),
    ],
)
def test_the_default_learns_as_it_always_has(tiny_folder: Path, minibatches: int, expected: list[float]):
    # Recorded before algorithms could be chosen, and before the clip counted the engine's age.
    old = {"clip_engine": False, "importance_low": 0.5, "importance_high": 5.0}
    algorithm = Algorithm.model_validate({"learning_rate": 1e-2, "warmup_steps": 0, "minibatches": minibatches} | old)
    assert pinned.trajectory(tiny_folder, algorithm) == pytest.approx(expected, abs=2e-6)


def test_without_refill_groups_that_the_buffer_kept_count_in_the_mean_too(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    groups = pinned.groups()[:2]
    refilled = _gradients(_learner(tiny_folder, _algorithm("dr_grpo", dynamic_sampling=True)), groups, monkeypatch)
    counted = _gradients(_learner(tiny_folder, _algorithm("dr_grpo")), groups, monkeypatch)
    for a, b in zip(refilled, counted, strict=True):
        torch.testing.assert_close(a / 2, b, atol=1e-6, rtol=1e-4)


def test_flat_groups_teach_nothing_but_count_in_the_mean(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch):
    groups = pinned.groups()
    flat = [
        each.model_copy(update={"trajectories": [t.model_copy(update={"reward": 1.0}) for t in each.trajectories]})
        for each in groups
    ]
    algorithm = _algorithm("skyscale", dynamic_sampling=False, groups_per_step=1)
    alone = _gradients(_learner(tiny_folder, algorithm), groups[:2], monkeypatch)
    diluted = _gradients(_learner(tiny_folder, algorithm), [*groups[:2], *flat[2:]], monkeypatch)
    tokens = [sum(len(t.completion_ids) for t in each.trajectories) for each in groups]
    share = sum(tokens[:2]) / sum(tokens)
    for a, b in zip(alone, diluted, strict=True):
        torch.testing.assert_close(a * share, b, atol=1e-6, rtol=1e-4)
    learner = _learner(tiny_folder, algorithm)
    before = [p.detach().clone() for p in learner.model.parameters()]
    report = learner.train(flat, 0)
    assert (report.metrics["loss"], report.metrics["flat_share"], report.skipped_steps) == (0.0, 1.0, 0)
    assert all(torch.equal(a, b) for a, b in zip(before, learner.model.parameters(), strict=True))


@pytest.mark.parametrize("case", list(PRESETS))
def test_a_batch_of_one_group_is_trained_on_whatever_the_minibatches(tiny_folder: Path, case: str):
    learner = _learner(tiny_folder, _algorithm(case, minibatches=4))
    report = learner.train(pinned.groups()[:1], 0)
    assert learner.num_steps == 1
    assert report.metrics["grad_norm"] > 0


def test_what_an_algorithm_needs_and_does_not_get_is_an_error(tiny_folder: Path):
    with pytest.raises(ValueError, match="max_new_tokens"):
        Learner(pinned.decoder(tiny_folder), Algorithm(name="dr_grpo", learning_rate=1e-3), 1.0)
    with pytest.raises(ValueError, match="reference"):
        Learner(pinned.decoder(tiny_folder), Algorithm(kl_coefficient=0.1, learning_rate=1e-3), 1.0)
