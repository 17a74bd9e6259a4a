"""Prompts that are computed together: ids and positions of their tokens, and which of them each row goes on from.

Letters: P prompts, T tokens of the longest of them, rounded up.
"""

import numpy as np
from numpy.typing import NDArray


class Prompts:
    """Prompts as the arrays of one product; shorter ones are padded on the right."""

    def __init__(self, fresh: list[tuple[list[int], int]], bucket: int) -> None:
        """`fresh`: prompts, and how many consecutive rows each of them begins."""
        lengths = np.array([len(prompt) for prompt, _ in fresh])
        self.num_tokens = int(lengths.sum())
        self.length = -(-int(lengths.max()) // bucket) * bucket
        """T, a multiple of `bucket`."""
        padded = np.zeros((len(fresh), self.length), np.int64)
        for line, (prompt, _) in zip(padded, fresh, strict=True):
            line[: len(prompt)] = prompt
        self.ids: NDArray[np.int64] = padded.ravel()
        """[P * T]."""
        self.positions: NDArray[np.int64] = np.tile(np.arange(self.length), len(fresh))
        """[P * T]."""
        self.of_row: NDArray[np.int64] = np.repeat(np.arange(len(fresh)), [count for _, count in fresh])
        """The prompt of each row."""
        self.last: NDArray[np.int64] = (np.arange(len(fresh)) * self.length + lengths - 1)[self.of_row]
        """Where each row's last prompt token is among the P * T."""
