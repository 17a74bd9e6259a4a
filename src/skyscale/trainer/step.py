"""One batch of groups to one new set of weights: the arithmetic of training, without network or disk.

- The batch is cut by whole groups into `minibatches` optimizer steps, and each of those into micro-batches whose
  gradients add up: the loss is the sum over tokens divided by the tokens of the whole minibatch, so neither packing nor
  the cutting changes it.
- "Old" log-probabilities are those before the batch's first optimizer step. In the first minibatch they equal the
  current ones, so only the later minibatches pay for a pass of their own.
- A gradient that is not finite never reaches the optimizer: the step is left out, counted and reported.

Letters: N completion tokens, K tree nodes (see `packing`), D width, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite

import torch
import torch.nn.functional as F
from torch import Tensor

from skyscale.decoder.model import Decoder
from skyscale.trainer.losses.grpo import grpo_loss
from skyscale.trainer.losses.importance import importance_weight
from skyscale.trainer.metrics import TokenRecord, token_metrics
from skyscale.trainer.optimizer import learning_rate, make_optimizer
from skyscale.trainer.packing import MicroBatch, Row, micro_batches, pack_group
from skyscale.wire.batches import LeasedGroup
from skyscale.wire.episodes import Outcome
from skyscale.wire.runs import Algorithm

MICRO_BATCH_TOKENS = {"cpu": 1024, "cuda": 16384}
"""Input tokens per micro-batch: on a CPU what stays in its caches, on a GPU what fills it."""
MAX_ROW_TOKENS = 8192
"""A larger prefix tree is cut, since its attention mask grows with the square."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """What became of one batch."""

    episode_reward: float
    metrics: dict[str, float]
    """See `metrics.py`."""
    num_samples: int
    num_tokens: int
    """Completion tokens."""
    skipped_steps: int


@dataclass(slots=True)
class Learner:
    """A model and its optimizer, trained batch by batch."""

    model: Decoder
    algorithm: Algorithm
    temperature: float
    num_steps: int = 0
    """Optimizer steps taken or skipped since the run began; decides the learning rate."""
    optimizer: torch.optim.AdamW = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = make_optimizer(self.model.parameters(), self.algorithm)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.embedding.device

    def train(self, groups: list[LeasedGroup], version: int) -> StepReport:
        """Train on one batch; `version` is the policy version that the weights are before it."""
        minibatches = [self._minibatch(chunk) for chunk in _chunks(groups, self.algorithm.minibatches)]
        olds: list[list[Tensor] | None] = [None]
        with torch.no_grad():
            olds += [[self.logprobs(batch) for batch in batches] for batches in minibatches[1:]]
        records: list[TokenRecord] = []
        norms: list[float] = []
        for batches, old in zip(minibatches, olds, strict=True):
            num_tokens = sum(batch.num_tokens for batch in batches)
            if num_tokens:
                records += [
                    self._backward(batch, old[i] if old else None, num_tokens) for i, batch in enumerate(batches)
                ]
                norms.append(self._update())
        return _report(groups, minibatches, records, norms, version)

    def _minibatch(self, groups: list[LeasedGroup]) -> list[MicroBatch]:
        rows: list[Row] = [row for group in groups for row in pack_group(group, MAX_ROW_TOKENS)]
        return micro_batches(rows, max_tokens=MICRO_BATCH_TOKENS[self.device.type], device=self.device)

    def logprobs(self, batch: MicroBatch) -> Tensor:
        """Log-probability of each completion token at the sampling temperature, fp32 [N]."""
        use_bf16 = self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=use_bf16):
            hidden_BTD = self.model(batch.ids_BT, batch.positions_BT, batch.mask())
        hidden_KD = hidden_BTD.flatten(0, 1).index_select(0, batch.source_K)
        logits_KV = self.model.logits(hidden_KD.float())
        if self.temperature != 1.0:
            logits_KV = logits_KV / self.temperature
        logprob_K = -F.cross_entropy(logits_KV, batch.target_K, reduction="none")
        return logprob_K.index_select(0, batch.node_N)

    def _backward(self, batch: MicroBatch, old_N: Tensor | None, num_tokens: int) -> TokenRecord:
        """Add the micro-batch's share of the minibatch's gradient."""
        algorithm = self.algorithm
        logprob_N = self.logprobs(batch)
        old_N = logprob_N.detach() if old_N is None else old_N
        importance = importance_weight(
            old_N,
            batch.engine_logprob_N,
            cap=algorithm.importance_cap,
            low=algorithm.importance_low,
            high=algorithm.importance_high,
        )
        policy = grpo_loss(
            logprob_N,
            old_N,
            batch.advantage_N,
            importance.weight_N,
            clip_low=algorithm.clip_low,
            clip_high=algorithm.clip_high,
        )
        (policy.loss_N.sum() / num_tokens).backward()
        return TokenRecord(
            policy.loss_N.detach(), logprob_N.detach(), policy.ratio_N, policy.clipped_N,
            importance.rho_N, importance.masked_N, batch.version_N,
        )  # fmt: skip

    def _update(self) -> float:
        """Clip, and step unless the gradient's norm, which is returned, is not finite."""
        norm = float(
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.algorithm.max_grad_norm, foreach=True)
        )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.algorithm, self.num_steps)
        if isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.num_steps += 1
        return norm


def _chunks(groups: list[LeasedGroup], count: int) -> Iterator[list[LeasedGroup]]:
    """The groups in `count` runs of nearly equal length, in order."""
    bounds = [len(groups) * index // count for index in range(count + 1)]
    return (groups[start:stop] for start, stop in pairwise(bounds))


def _report(
    groups: list[LeasedGroup],
    minibatches: list[list[MicroBatch]],
    records: list[TokenRecord],
    norms: list[float],
    version: int,
) -> StepReport:
    episodes = [t for group in groups for t in group.trajectories if t.outcome is not Outcome.INFRASTRUCTURE_FAILURE]
    num_samples = max(1, len(episodes))
    num_tokens = sum(batch.num_tokens for batches in minibatches for batch in batches)
    computed = sum(batch.ids_BT.numel() for batches in minibatches for batch in batches)
    one_by_one = sum(len(group.prompt_ids) * len(group.trajectories) for group in groups) + num_tokens
    finite = [norm for norm in norms if isfinite(norm)]
    flat = sum(len({t.reward for t in group.trajectories}) == 1 for group in groups)
    metrics = token_metrics(records, version) | {
        "grad_norm": finite[-1] if finite else 0.0,
        "skipped_steps": float(len(norms) - len(finite)),
        "completion_tokens": num_tokens / num_samples,
        "packed_share": computed / max(1, one_by_one),
        "flat_share": flat / max(1, len(groups)),
    }
    return StepReport(
        episode_reward=sum(t.reward for t in episodes) / num_samples,
        metrics=metrics,
        num_samples=len(episodes),
        num_tokens=num_tokens,
        skipped_steps=len(norms) - len(finite),
    )
