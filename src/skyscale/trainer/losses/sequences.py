"""Sums and means over the sequences of a micro-batch. Letters: N tokens, S sequences."""

import torch
from torch import Tensor


def sequence_sum(value_N: Tensor, sequence_N: Tensor, num_sequences: int) -> Tensor:
    """Sum over each sequence's tokens, [S]."""
    zero_S = torch.zeros(num_sequences, dtype=value_N.dtype, device=value_N.device)
    return zero_S.index_add(0, sequence_N, value_N)


def sequence_lengths(sequence_N: Tensor, num_sequences: int) -> Tensor:
    """Tokens of each sequence, int64 [S]; a sequence without tokens has 0."""
    return torch.bincount(sequence_N, minlength=num_sequences)


def sequence_mean(value_N: Tensor, sequence_N: Tensor, num_sequences: int) -> Tensor:
    """Mean over each sequence's tokens, [S]."""
    lengths_S = sequence_lengths(sequence_N, num_sequences).clamp(min=1)
    return sequence_sum(value_N, sequence_N, num_sequences) / lengths_S
