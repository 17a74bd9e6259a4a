"""Every formula against numbers worked out by hand, and its gradient."""

import math

import pytest
import torch
from torch import Tensor

from skyscale.trainer.advantages import group_advantage, overlong_penalty
from skyscale.trainer.losses.aggregation import denominator, token_scale
from skyscale.trainer.losses.cispo import cispo_loss
from skyscale.trainer.losses.gspo import gspo_loss
from skyscale.trainer.losses.kl import kl_term
from skyscale.trainer.losses.objective import Tokens, objective
from skyscale.trainer.losses.sequence_mask import sequence_mask
from skyscale.wire.algorithms import PRESETS, Algorithm

# Two sequences of 2 and 3 tokens.
SEQUENCE = torch.tensor([0, 0, 1, 1, 1])


def _tokens(**changes: object) -> Tokens:
    old = torch.tensor([-1.0, -2.0, -0.5, -1.5, -3.0])
    given: dict[str, object] = {
        "logprob_N": old.clone().requires_grad_(), "old_N": old, "engine_N": old.clone(), "reference_N": None,
        "advantage_N": torch.tensor([1.0, 1.0, -0.5, -0.5, -0.5]), "sequence_N": SEQUENCE, "num_sequences": 2,
    }  # fmt: skip
    return Tokens(**(given | changes))  # pyright: ignore[reportArgumentType]


def _gradient(loss: Tensor, of: Tensor) -> list[float]:
    (gradient,) = torch.autograd.grad(loss.sum(), of)
    return gradient.tolist()


def test_grpo_divides_the_advantage_by_the_sample_deviation_of_the_group():
    # mean 0.4, squared distances 0.36 0.16 0.16 0.04 sum to 0.72; 0.72 / 3 = 0.24, root 0.4899
    found = group_advantage(torch.tensor([1.0, 0.0, 0.0, 0.6], dtype=torch.float64), "mean_std")
    assert found.tolist() == pytest.approx([1.2247, -0.8165, -0.8165, 0.4082], abs=1e-4)
    # 0.1 three times has a mean that is not quite 0.1; a deviation of rounding errors must not be divided by.
    assert group_advantage(torch.tensor([0.1, 0.1, 0.1], dtype=torch.float64), "mean_std").tolist() == [0.0, 0.0, 0.0]


def test_dapo_penalty_grows_over_the_last_tokens_only():
    # The paper's numbers: L_max 20480, buffer 4096, factor 1.
    lengths = torch.tensor([100, 16384, 18432, 20480])
    assert overlong_penalty(lengths, 20480, 0.2, 1.0).tolist() == pytest.approx([0.0, 0.0, -0.5, -1.0])


def test_gspo_clips_the_geometric_mean_of_a_sequence():
    # Log ratios (0.2, 0.4) have the mean 0.3; (-0.1, -0.2, 0) the mean -0.1.
    old = torch.tensor([-1.0, -2.0, -0.5, -1.5, -3.0])
    logprob = (old + torch.tensor([0.2, 0.4, -0.1, -0.2, 0.0])).requires_grad_()
    advantage = torch.tensor([1.0, 1.0, -0.5, -0.5, -0.5])
    found = gspo_loss(logprob, old, advantage, torch.ones(5), SEQUENCE, 2, clip_low=0.2, clip_high=0.2)
    s = [math.exp(0.3), math.exp(-0.1)]
    assert found.ratio_N.tolist() == pytest.approx([s[0]] * 2 + [s[1]] * 3, rel=1e-5)
    # The first is clipped at 1.2, the second is free: -s * A = 0.5 s.
    assert found.loss_N.tolist() == pytest.approx([-1.2] * 2 + [0.5 * s[1]] * 3, rel=1e-5)
    assert found.clipped_N.tolist() == [True, True, False, False, False]
    assert _gradient(found.loss_N, logprob) == pytest.approx([0.0, 0.0, 0.5 * s[1], 0.5 * s[1], 0.5 * s[1]], rel=1e-5)


def test_gspo_per_token_form_has_the_gradient_of_the_papers_sequence_form():
    old = torch.tensor([-1.0, -2.0, -0.5, -1.5, -3.0])
    logprob = (old + torch.tensor([0.02, 0.04, -0.1, -0.02, 0.05])).requires_grad_()
    advantage = torch.tensor([1.0, 1.0, -0.5, -0.5, -0.5])
    per_token = gspo_loss(logprob, old, advantage, torch.ones(5), SEQUENCE, 2, clip_low=0.5, clip_high=0.5)
    ours = _gradient(per_token.loss_N / torch.tensor([2.0, 2.0, 3.0, 3.0, 3.0]), logprob)
    s = torch.stack([torch.exp((logprob - old)[:2].mean()), torch.exp((logprob - old)[2:].mean())])
    assert ours == pytest.approx(_gradient(-s * torch.tensor([1.0, -0.5]), logprob), abs=1e-6)


def test_cispo_keeps_the_gradient_of_clipped_tokens():
    ratio = torch.tensor([8.0, 0.5, 2.0])
    old = torch.tensor([-3.0, -1.0, -2.0])
    logprob = (old + ratio.log()).requires_grad_()
    advantage = torch.tensor([1.0, -1.0, 0.5])
    found = cispo_loss(logprob, old, advantage, torch.tensor([1.0, 1.0, 0.5]), clip_low=1.0, clip_high=4.0)
    # Weight times the ratio, at most 5, times advantage and log-probability, negated.
    expected = [-5.0 * (-3 + math.log(8)), 0.5 * (-1 + math.log(0.5)), -0.5 * 2 * 0.5 * (-2 + math.log(2))]
    assert found.loss_N.tolist() == pytest.approx(expected, rel=1e-5)
    assert found.clipped_N.tolist() == [True, False, False]
    assert _gradient(found.loss_N, logprob) == pytest.approx([-5.0, 0.5, -0.5], rel=1e-5)


def test_decoupled_ppo_clips_around_the_proximal_policy_and_weighs_the_behaviour_policy_apart():
    old = torch.tensor([-1.0, -1.0])
    u, rho = torch.tensor([1.5, 1.1]), torch.tensor([3.0, 0.8])
    tokens = _tokens(
        logprob_N=(old + u.log()).requires_grad_(), old_N=old, engine_N=old - rho.log(),
        advantage_N=torch.ones(2), sequence_N=torch.tensor([0, 1]),
    )  # fmt: skip
    found = objective(tokens, Algorithm(name="decoupled_ppo"))
    # rho * min(u A, clip(u) A) with the bound 1.2: 3 * 1.2 and 0.8 * 1.1
    assert found.loss_N.tolist() == pytest.approx([-3.6, -0.88], rel=1e-5)
    naive = objective(tokens, Algorithm(proximal="engine", correction="none", clip_high=0.2))
    # pi / mu = 4.5 and 0.88, clipped at 1.2 and not
    assert naive.loss_N.tolist() == pytest.approx([-1.2, -0.88], rel=1e-5)
    uncorrected = objective(tokens, Algorithm(correction="none", clip_high=0.2))
    assert uncorrected.loss_N.tolist() == pytest.approx([-1.2, -1.1], rel=1e-5)
    assert uncorrected.rho_N.tolist() == pytest.approx([3.0, 0.8], rel=1e-5)


def test_the_clip_counts_what_has_happened_since_the_engine_sampled():
    # rho = old / engine: up by half, down to half, up by half, down to half, unchanged; advantages + + - - +.
    old = torch.tensor([-1.0, -2.0, -0.5, -1.5, -3.0])
    rho = torch.tensor([1.5, 0.5, 1.5, 0.5, 1.0])
    given = _tokens(engine_N=old - rho.log(), advantage_N=torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0]))
    algorithm = Algorithm(importance_low=0.0)
    found = objective(given, algorithm)
    # The first may not rise further and the fourth not fall further; the others may come back, weighted with rho.
    assert _gradient(found.loss_N, given.logprob_N) == pytest.approx([0.0, -0.5, 1.5, 0.0, -1.0], abs=1e-6)
    assert found.clipped_N.tolist() == [True, False, False, True, False]
    assert found.loss_N.tolist() == pytest.approx([-1.5 * 1.28 / 1.5, -0.5, 1.5, 0.5 * 0.8 / 0.5, -1.0], abs=1e-6)
    apart = objective(given, algorithm.model_copy(update={"clip_engine": False}))
    assert _gradient(apart.loss_N, given.logprob_N) == pytest.approx([-1.5, -0.5, 1.5, 0.5, -1.0], abs=1e-6)


@pytest.mark.parametrize("moved", [0.0, 0.5])
def test_on_what_the_trainers_own_policy_sampled_that_clip_changes_nothing(moved: float):
    given = _tokens()
    given = _tokens(logprob_N=(given.old_N + moved * torch.tensor([1.0, -1.0, 1.0, -1.0, 0.3])).requires_grad_())
    with_it, without = (objective(given, Algorithm(clip_engine=value)) for value in (True, False))
    assert torch.equal(with_it.loss_N, without.loss_N)
    assert torch.equal(with_it.clipped_N, without.clipped_N)
    assert _gradient(with_it.loss_N, given.logprob_N) == _gradient(without.loss_N, given.logprob_N)


def test_sequence_mask_drops_whole_sequences_by_product_or_geometric_mean():
    log_rho = torch.tensor([0.6, 0.6, 0.1, -0.1, 0.003])
    product = sequence_mask(log_rho, SEQUENCE, 2, statistic="product", low=0.5, high=2.0)
    assert product.tolist() == [True, True, False, False, False]  # exp(1.2) = 3.3; exp(0.003)
    geometric = sequence_mask(log_rho / 100, SEQUENCE, 2, statistic="geometric", low=0.99, high=1.005)
    assert geometric.tolist() == [True, True, False, False, False]  # exp(0.006); exp(0.00001)
    broken = torch.tensor([0.0, float("nan"), 0.0, 0.0, 0.0])
    assert sequence_mask(broken, SEQUENCE, 2, statistic="product", low=0.5, high=2.0).tolist()[:3] == [
        True,
        True,
        False,
    ]


def test_a_dropped_sequence_has_no_gradient():
    tokens = _tokens(engine_N=torch.tensor([-1.6, -2.6, -0.5, -1.5, -3.0]))
    found = objective(tokens, Algorithm(sequence_mask="product"))
    assert _gradient(found.loss_N, tokens.logprob_N) == pytest.approx([0.0, 0.0, 0.5, 0.5, 0.5])
    assert found.masked_N.tolist() == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("estimator", "value", "gradient"),
    # d = 0.5: k1 = 0.5, k2 = 0.125, k3 = exp(-0.5) - 0.5; gradients d, d, 1 - exp(-d)
    [("k1", 0.5, 0.5), ("k2", 0.125, 0.5), ("k3", math.exp(-0.5) - 0.5, 1 - math.exp(-0.5))],
)
def test_kl_estimators_have_their_value_and_a_gradient_towards_the_reference(estimator, value, gradient):
    logprob = torch.tensor([-1.0], requires_grad=True)
    term = kl_term(logprob, torch.tensor([-1.5]), estimator)
    assert term.tolist() == pytest.approx([value])
    assert _gradient(term, logprob) == pytest.approx([gradient])
    zero = kl_term(logprob, torch.tensor([-1.0]), estimator)
    assert zero.tolist() == [0.0]
    assert _gradient(zero, logprob) == [0.0]


def test_kl_estimators_agree_in_expectation():
    policy, reference = torch.tensor([0.5, 0.3, 0.2]).log(), torch.tensor([0.4, 0.4, 0.2]).log()
    true = float((policy.exp() * (policy - reference)).sum())
    assert float((policy.exp() * kl_term(policy, reference, "k1")).sum()) == pytest.approx(true, abs=1e-6)
    assert float((policy.exp() * kl_term(policy, reference, "k3")).sum()) == pytest.approx(true, abs=1e-6)


@pytest.mark.parametrize(
    ("rule", "expected"),
    # losses 1 2 | 3 4 5: 15 / 5 tokens; (1.5 + 4) / 2; 15 / (2 * 10)
    [("token_mean", 3.0), ("sequence_mean", 2.75), ("constant", 0.75)],
)
def test_aggregations_divide_by_tokens_by_sequences_or_by_the_longest_length(rule, expected):
    loss = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    total = (token_scale(rule, SEQUENCE, 2, 10) * loss).sum() / denominator(rule, 5, 2)
    assert float(total) == pytest.approx(expected)


@pytest.mark.parametrize("name", PRESETS)
def test_at_ratio_one_the_gradient_of_every_preset_is_the_policy_gradient(name):
    algorithm = Algorithm(name=name)
    tokens = _tokens()
    found = objective(tokens, algorithm)
    assert _gradient(found.loss_N, tokens.logprob_N) == pytest.approx([-1.0, -1.0, 0.5, 0.5, 0.5], abs=1e-6)
    assert found.ratio_N.tolist() == [1.0] * 5
    assert not found.clipped_N.any()


@pytest.mark.parametrize("name", PRESETS)
def test_an_engine_that_disagrees_wildly_is_masked_in_every_preset(name):
    tokens = _tokens(engine_N=torch.tensor([-1.0, -50.0, float("nan"), float("-inf"), -3.0]))
    found = objective(tokens, Algorithm(name=name))
    assert found.masked_N.tolist() == [False, True, True, True, False]
    assert _gradient(found.loss_N, tokens.logprob_N) == pytest.approx([-1.0, 0.0, 0.0, 0.0, 0.5], abs=1e-6)
