"""One batch of groups to one new set of weights: the arithmetic of training, without network or disk.

- The batch is cut by whole groups into `minibatches` optimizer steps, and each of those into micro-batches whose
  gradients add up: the loss is a sum over tokens divided by what the whole optimizer step holds (`losses/aggregation`),
  so neither packing, nor order, nor the cutting changes it. A batch may hold fewer groups than there are minibatches.
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
from torch import Tensor, nn

from skyscale.decoder.model import Decoder
from skyscale.trainer.episodes import lesson
from skyscale.trainer.logprobs import token_logprobs
from skyscale.trainer.losses.aggregation import denominator, token_scale
from skyscale.trainer.losses.objective import Tokens, objective
from skyscale.trainer.metrics import TokenRecord
from skyscale.trainer.optimizer import learning_rate, make_optimizer
from skyscale.trainer.packing import MicroBatch, micro_batches, pack
from skyscale.trainer.precision import Masters, trainable
from skyscale.trainer.report import Minibatch, StepReport, count, step_report
from skyscale.trainer.sharding import blank, drop_gathered, is_part, whole
from skyscale.trainer.team import Order, Team
from skyscale.trainer.tree_attention import rows_attention
from skyscale.wire.algorithms import Algorithm
from skyscale.wire.batches import LeasedGroup

MICRO_BATCH_TOKENS = {"cpu": 1024, "cuda": 16384}
"""Input tokens per micro-batch: on a CPU what stays in its caches, on a GPU what fills it."""
MAX_ROW_TOKENS = 8192
"""A larger prefix tree is cut, since its attention mask grows with the square. Sharded micro-batches hold no more."""


@dataclass(slots=True)
class Learner:
    """A model and its optimizer, trained batch by batch."""

    model: Decoder
    algorithm: Algorithm
    temperature: float
    max_new_tokens: int | None = None
    """Most tokens that an episode samples, over all its turns; some algorithms cannot do without it."""
    reference: Decoder | None = None
    """The base model; needed with a KL term and only then."""
    num_steps: int = 0
    """Optimizer steps taken or skipped since the run began; decides the learning rate."""
    compute_dtype: torch.dtype | None = None
    """Compute in this type, with fp32 weights for the optimizer beside it; None computes on those themselves."""
    team: Team | None = None
    """The processes that share each batch; None is this one alone."""
    weights: dict[str, nn.Parameter] = field(init=False)
    """What is trained, by name, in fp32: the model's own parameters (or its parts of them), or their masters."""
    optimizer: torch.optim.AdamW = field(init=False)
    is_sharded: bool = field(init=False)
    """Whether each of the team's processes has a part of each weight (see `sharding`)."""
    _masters: Masters | None = field(init=False)

    def __post_init__(self) -> None:
        needs_length = self.algorithm.aggregation == "constant" or self.algorithm.overlong == "penalty"
        if needs_length and self.max_new_tokens is None:
            raise ValueError(f"algorithm {self.algorithm.name!r} needs max_new_tokens")
        if self.algorithm.kl_coefficient > 0 and self.reference is None:
            raise ValueError("a KL term needs the reference model")
        # A shard is a master already, and is gathered in the compute type.
        self.is_sharded = is_part(self.model.embedding)
        self._masters = None
        if self.compute_dtype is not None and not self.is_sharded:
            self._masters = Masters(self.model, self.compute_dtype)
        self.weights = trainable(self.model) if self._masters is None else self._masters.weights
        self.optimizer = make_optimizer(self.weights.values(), self.algorithm)

    def weights_changed(self) -> None:
        """Bring the model in line with `weights`, after every change to them."""
        if self._masters is not None:
            self._masters.push()
        elif self.is_sharded:
            drop_gathered(self.model)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.embedding.device

    def train(self, groups: list[LeasedGroup], version: int) -> StepReport:
        """Train on one batch; `version` is the policy version that the weights are before it."""
        if self.team is not None:
            self.team.order(Order(kind="train", version=version, groups=groups))
        whole = _whole_batch(self.algorithm, len(groups))
        minibatches = [self._minibatch(chunk, whole) for chunk in _chunks(groups, self.algorithm.minibatches)]
        olds: list[list[Tensor] | None] = [None]
        with torch.no_grad():
            olds += [[self.logprobs(batch) for batch in minibatch.batches] for minibatch in minibatches[1:]]
        records: list[TokenRecord] = []
        norms: list[float] = []
        for minibatch, old in zip(minibatches, olds, strict=True):
            if minibatch.teaches:
                records += [
                    self._backward(batch, old[i] if old else None, minibatch.denominator)
                    for i, batch in enumerate(minibatch.batches)
                ]
                if self.team is not None and not self.is_sharded:
                    self.team.add_gradients(self.weights.values())
                norms.append(self._update())
        if self.team is not None:
            records = self.team.gather(records, has_kl=self.algorithm.kl_coefficient > 0)
        return step_report(groups, minibatches, records, norms, version)

    def _minibatch(self, groups: list[LeasedGroup], whole: float) -> Minibatch:
        lessons = [lesson(group, self.algorithm, self.max_new_tokens) for group in groups]
        ours = lessons if self.team is None else lessons[self.team.rank :: self.team.size]
        rows = [row for each in ours for row in pack(each, MAX_ROW_TOKENS)]
        limit = MICRO_BATCH_TOKENS[self.device.type]
        if self.is_sharded:
            limit = min(limit, MAX_ROW_TOKENS)
        is_cpu = self.device.type == "cpu"
        batches = micro_batches(rows, max_tokens=limit, device=self.device, are_joined=is_cpu)
        num_computed = sum(batch.ids_BT.numel() for batch in batches)
        if self.team is not None and self.is_sharded:
            batches += [blank(self.device)] * (self.team.most(len(batches)) - len(batches))
        # Counted over all groups, so every process divides its share of the sum by the same number.
        num_tokens, num_sequences = count(lessons)
        return Minibatch(
            batches=batches,
            num_tokens=num_tokens,
            num_sequences=num_sequences,
            denominator=whole * denominator(self.algorithm.aggregation, num_tokens, num_sequences),
            teaches=any(each.episodes for each in lessons),
            num_computed=num_computed if self.team is None else self.team.total(num_computed),
        )

    def logprobs(self, batch: MicroBatch, model: Decoder | None = None) -> Tensor:
        """Log-probability of each completion token at the sampling temperature, fp32 [N]; by `model` if given."""
        model = model or self.model
        attend = rows_attention(batch, model.config.num_groups, model.embedding.dtype)
        hidden_KD = model(batch.ids_BT, batch.positions_BT, attend=attend, wanted_N=batch.source_K)
        logprob_K = token_logprobs(hidden_KD, model.head, batch.target_K, self.temperature)
        return logprob_K.index_select(0, batch.node_N)

    def _reference_logprobs(self, batch: MicroBatch) -> Tensor | None:
        if self.algorithm.kl_coefficient == 0:
            return None
        with torch.no_grad():
            return self.logprobs(batch, self.reference)

    def _backward(self, batch: MicroBatch, old_N: Tensor | None, divisor: float) -> TokenRecord:
        """Add the micro-batch's share of the minibatch's gradient."""
        logprob_N = self.logprobs(batch)
        tokens = Tokens(
            logprob_N=logprob_N,
            old_N=logprob_N.detach() if old_N is None else old_N,
            engine_N=batch.engine_logprob_N,
            reference_N=self._reference_logprobs(batch),
            advantage_N=batch.advantage_N,
            sequence_N=batch.sequence_N,
            num_sequences=batch.num_sequences,
        )
        found = objective(tokens, self.algorithm)
        scale_N = token_scale(self.algorithm.aggregation, batch.sequence_N, batch.num_sequences, self.max_new_tokens)
        loss_N = scale_N * found.loss_N
        (loss_N.sum() / divisor).backward()
        return TokenRecord(
            loss_N.detach(), logprob_N.detach(), found.ratio_N, found.clipped_N,
            found.rho_N, found.masked_N, batch.version_N, found.kl_N,
        )  # fmt: skip

    def _update(self) -> float:
        """Clip, and step unless the gradient's norm, which is returned, is not finite."""
        limit = self.algorithm.max_grad_norm
        norm = float(whole(torch.nn.utils.clip_grad_norm_(self.weights.values(), limit, foreach=True)))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.algorithm, self.num_steps)
        if isfinite(norm):
            self.optimizer.step()
            self.weights_changed()
        self.optimizer.zero_grad(set_to_none=True)
        self.num_steps += 1
        return norm


def _whole_batch(algorithm: Algorithm, num_groups: int) -> float:
    """How much larger the batch is than what was leased of it, at least 1.

    Without dynamic sampling a batch is `groups_per_step` groups, and the buffer keeps those of equal reward to itself:
    they have no gradient, but every mean is over them too. Counting them like the groups at hand is exact for
    sequences, and for tokens as good as their lengths are alike.
    """
    if algorithm.dynamic_sampling or not num_groups:
        return 1.0
    return max(1.0, algorithm.groups_per_step / num_groups)


def _chunks(groups: list[LeasedGroup], count: int) -> Iterator[list[LeasedGroup]]:
    """The groups in `count` runs of nearly equal length, in order."""
    bounds = [len(groups) * index // count for index in range(count + 1)]
    return (groups[start:stop] for start, stop in pairwise(bounds))
