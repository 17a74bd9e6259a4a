"""What one training step reports; each number is defined here, with its estimator.

Means are over all completion tokens of the batch unless the name says otherwise. Letters: N completion tokens.

    loss               token mean of the objective that was minimised
    entropy            k1: mean of -logprob of the sampled tokens under the trainer; exact in expectation on-policy
    ratio              mean of exp(logprob - old logprob); 1 when the batch is one optimizer step
    clip_share         share of tokens at a clip bound, which have no gradient
    mismatch_kl        k3 (joschu.net/blog/kl-approx.html): mean of rho - 1 - log(rho) with rho = trainer / engine
                       probability before the step; estimates KL(engine || trainer), never negative
    logprob_diff       mean |trainer - engine| log-probability before the step
    masked_share       share of tokens outside [importance_low, importance_high], which count nothing
    staleness          mean over tokens of (version trained on - version that sampled the token)
    staleness_max      its largest value
    grad_norm          global L2 norm of the last optimizer step before clipping
    skipped_steps      optimizer steps left out because their gradient was not finite
    completion_tokens  mean tokens per episode
    packed_share       tokens the model computed / tokens of all sequences one by one, padding included
    batch_reward       mean reward of the batch trained on; `episode_reward` is that of all rollouts since the last
                       lease, groups of equal reward included, which are never in a batch
    rollout_trajectories  how many trajectories those rollouts are
    rollout_flat_share    share of their groups whose rewards are all equal
    flat_share         share of the batch's groups whose rewards are all equal
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is kept of each token of a batch, detached."""

    loss_N: Tensor
    logprob_N: Tensor
    ratio_N: Tensor
    clipped_N: Tensor
    rho_N: Tensor
    masked_N: Tensor
    version_N: Tensor


def token_metrics(records: list[TokenRecord], version: int) -> dict[str, float]:
    """Means over the tokens of `records`; `version` is the one that the step started from."""
    if not records:
        return {}
    rho_N = torch.cat([record.rho_N for record in records]).double()
    log_rho_N = rho_N.log()
    lag_N = (version - torch.cat([record.version_N for record in records])).double()
    values = {
        "loss": torch.cat([record.loss_N for record in records]).double().mean(),
        "entropy": -torch.cat([record.logprob_N for record in records]).double().mean(),
        "ratio": torch.cat([record.ratio_N for record in records]).double().mean(),
        "clip_share": torch.cat([record.clipped_N for record in records]).double().mean(),
        "mismatch_kl": (rho_N - 1.0 - log_rho_N).mean(),
        "logprob_diff": log_rho_N.abs().mean(),
        "masked_share": torch.cat([record.masked_N for record in records]).double().mean(),
        "staleness": lag_N.mean(),
        "staleness_max": lag_N.max(),
    }
    return {name: float(value) for name, value in values.items()}
