"""Means over the tokens of one training step; every name is defined, with its estimator, in docs/metrics-training.md.

Means are over all completion tokens that were computed, masked ones included. Letters: N completion tokens.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is kept of each token of a batch, detached."""

    loss_N: Tensor
    """Its share of the step's sum, before the division by the step's denominator."""
    logprob_N: Tensor
    ratio_N: Tensor
    clipped_N: Tensor
    rho_N: Tensor
    masked_N: Tensor
    version_N: Tensor
    kl_N: Tensor | None


def token_metrics(records: list[TokenRecord], version: int) -> dict[str, float]:
    """Means over the tokens of `records`; `version` is the one that the step started from."""
    if not records:
        return {}
    rho_N = torch.cat([record.rho_N for record in records]).double()
    log_rho_N = rho_N.log()
    lag_N = (version - torch.cat([record.version_N for record in records])).double()
    values = {
        "entropy": -torch.cat([record.logprob_N for record in records]).double().mean(),
        "ratio": torch.cat([record.ratio_N for record in records]).double().mean(),
        "clip_share": torch.cat([record.clipped_N for record in records]).double().mean(),
        "mismatch_kl": (rho_N - 1.0 - log_rho_N).mean(),
        "logprob_diff": log_rho_N.abs().mean(),
        "masked_share": torch.cat([record.masked_N for record in records]).double().mean(),
        "staleness": lag_N.mean(),
        "staleness_max": lag_N.max(),
    }
    fresh_N = lag_N == 0
    if bool(fresh_N.any()):
        values["logprob_diff_fresh"] = log_rho_N.abs()[fresh_N].mean()
    kl = [record.kl_N for record in records if record.kl_N is not None]
    if kl:
        values["kl"] = torch.cat(kl).double().mean()
    return {name: float(value) for name, value in values.items()}
