"""The objective of one token, put together from an algorithm's parts.

    proximal policy   the trainer's own at the start of the batch, "old"; the engine's, "behaviour", is what sampled
    correction        weight = truncated and masked old / behaviour: the engine's numerics and the age of its weights
    sequence mask     0 for sequences on which the two disagree too much
    policy loss       the clipped ratio of the current policy to the proximal one, times the advantage
    KL                coefficient * estimate of the divergence from the reference, under the same weight

Recomputing the proximal policy and weighing its distance to the behaviour policy apart is decoupled PPO
(arXiv:2505.24298, eq. 5; arXiv:2110.00641). With `proximal: engine` the ratio is current / behaviour, plain PPO on
old data. Letters: N completion tokens.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from skyscale.trainer.losses.cispo import cispo_loss
from skyscale.trainer.losses.grpo import PolicyLoss, grpo_loss
from skyscale.trainer.losses.gspo import gspo_loss
from skyscale.trainer.losses.importance import importance_weight
from skyscale.trainer.losses.kl import kl_term
from skyscale.trainer.losses.sequence_mask import sequence_mask
from skyscale.wire.algorithms import Algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The tokens of a micro-batch; only `logprob_N` carries gradient."""

    logprob_N: Tensor
    """Current policy."""
    old_N: Tensor
    """The trainer's policy before the batch's first optimizer step."""
    engine_N: Tensor
    """What the engine said when it sampled."""
    reference_N: Tensor | None
    """The base model; given when there is a KL term."""
    advantage_N: Tensor
    sequence_N: Tensor
    num_sequences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The loss of each token and what happened on the way; all but the loss detached."""

    loss_N: Tensor
    ratio_N: Tensor
    clipped_N: Tensor
    rho_N: Tensor
    """old / behaviour, whether it is used as a weight or not."""
    masked_N: Tensor
    """Tokens that count nothing."""
    kl_N: Tensor | None


def objective(tokens: Tokens, algorithm: Algorithm) -> Objective:
    """Loss of each token as `algorithm` says; aggregation is the caller's."""
    importance = importance_weight(
        tokens.old_N,
        tokens.engine_N,
        cap=algorithm.importance_cap,
        low=algorithm.importance_low,
        high=algorithm.importance_high,
    )
    weight_N, masked_N = importance.weight_N, importance.masked_N
    if algorithm.correction == "none":
        weight_N, masked_N = torch.ones_like(weight_N), torch.zeros_like(masked_N)
    if algorithm.sequence_mask != "none":
        dropped_N = sequence_mask(
            tokens.old_N - tokens.engine_N,
            tokens.sequence_N,
            tokens.num_sequences,
            statistic=algorithm.sequence_mask,
            low=algorithm.sequence_mask_low,
            high=algorithm.sequence_mask_high,
        )
        weight_N, masked_N = weight_N.masked_fill(dropped_N, 0.0), masked_N | dropped_N
    policy = _policy_loss(tokens, weight_N, importance.rho_N, algorithm)
    loss_N, kl_N = policy.loss_N, None
    if tokens.reference_N is not None:
        kl_N = kl_term(tokens.logprob_N, tokens.reference_N, algorithm.kl_estimator)
        loss_N = loss_N + algorithm.kl_coefficient * weight_N * kl_N
    return Objective(
        loss_N=loss_N,
        ratio_N=policy.ratio_N,
        clipped_N=policy.clipped_N,
        rho_N=importance.rho_N,
        masked_N=masked_N,
        kl_N=None if kl_N is None else kl_N.detach(),
    )


def _policy_loss(tokens: Tokens, weight_N: Tensor, rho_N: Tensor, algorithm: Algorithm) -> PolicyLoss:
    proximal_N = tokens.old_N if algorithm.proximal == "recomputed" else tokens.engine_N
    common = (tokens.logprob_N, proximal_N, tokens.advantage_N, weight_N)
    low, high = algorithm.clip_low, algorithm.clip_high
    if algorithm.ratio == "sequence":
        return gspo_loss(*common, tokens.sequence_N, tokens.num_sequences, clip_low=low, clip_high=high)
    if algorithm.clip == "weight":
        return cispo_loss(*common, clip_low=low, clip_high=high)
    return grpo_loss(*common, clip_low=low, clip_high=high, rho_N=rho_N if algorithm.clip_engine else None)
