"""What of a leased group is trained on, with which advantage, and how much it counts in the denominator.

- Episodes that failed for our own reasons are nowhere, the baseline included.
- Truncated episodes with `overlong: mask` are in the baseline and not in the loss, so not in the denominator either.
- A group in which nobody has an advantage costs no computation, but its tokens and sequences count in the denominator:
  a mean over the batch is one over the whole batch. With a KL term it has a gradient and is computed.
"""

from dataclasses import dataclass

import torch

from skyscale.trainer.advantages import group_advantage, overlong_penalty
from skyscale.wire.algorithms import Algorithm
from skyscale.wire.batches import LeasedGroup, Trajectory
from skyscale.wire.episodes import Outcome


@dataclass(frozen=True, slots=True)
class Lesson:
    """One group as training sees it."""

    prompt_ids: list[int]
    episodes: list[tuple[Trajectory, float]]
    """Episodes to compute, with their advantages; empty when none has a gradient."""
    num_tokens: int
    """Completion tokens that count, computed or not."""
    num_sequences: int
    """Sequences of at least one token that count."""


def lesson(group: LeasedGroup, algorithm: Algorithm, max_new_tokens: int | None) -> Lesson:
    """The group's lesson; `max_new_tokens`, over all turns, is needed by `overlong: penalty` alone."""
    scored = [t for t in group.trajectories if t.outcome is not Outcome.INFRASTRUCTURE_FAILURE]
    if len(scored) < 2 or not group.prompt_ids:
        return Lesson(group.prompt_ids, [], 0, 0)
    rewards_G = torch.tensor([t.reward for t in scored], dtype=torch.float64)
    if algorithm.overlong == "penalty":
        assert max_new_tokens is not None
        lengths_G = torch.tensor([t.num_sampled for t in scored], dtype=torch.float64)
        rewards_G += overlong_penalty(lengths_G, max_new_tokens, algorithm.overlong_buffer, algorithm.overlong_penalty)
    advantages = group_advantage(rewards_G, algorithm.advantage).tolist()
    counted = [
        (episode, advantage)
        for episode, advantage in zip(scored, advantages, strict=True)
        if episode.num_sampled and not (algorithm.overlong == "mask" and episode.outcome is Outcome.TRUNCATED)
    ]
    is_flat = bool((rewards_G == rewards_G[0]).all())
    return Lesson(
        prompt_ids=group.prompt_ids,
        episodes=[] if is_flat and algorithm.kl_coefficient == 0 else counted,
        num_tokens=sum(episode.num_sampled for episode, _ in counted),
        num_sequences=len(counted),
    )
