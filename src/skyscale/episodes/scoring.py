"""pass@k with confidence, from counts alone: pure.

- pass@k of a problem with n samples of which c pass is 1 - C(n-c, k) / C(n, k), the unbiased estimator of Chen et al.
  2021 (arXiv:2107.03374, equation 1); of a set it is the mean over its problems.
- The interval is Wilson's score interval (Wilson 1927) in the form for samples in clusters (Korn and Graubard 1998):
  samples of one problem are alike, so what counts is n_eff = p (1 - p) / se^2, with se the standard error over
  problems, between the number of problems and that of episodes. It never leaves [0, 1] and is not empty at p = 0 or 1,
  where a bootstrap is; with one sample per problem it is the plain Wilson interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt

from skyscale.wire.problems import Difficulty
from skyscale.wire.runs import EvaluationSlice, PassAtK

Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Tally:
    """One problem's samples."""

    num_samples: int
    num_passed: int
    reward_sum: float
    difficulty: Difficulty | None
    """Null when the problem set no longer has the problem."""


def pass_at_k(num_samples: int, num_passed: int, k: int) -> float:
    """The chance that k of the samples, drawn without replacement, hold one that passes. Needs k <= num_samples."""
    assert 0 < k <= num_samples and 0 <= num_passed <= num_samples, "k samples must be there to draw"
    return 1.0 - comb(num_samples - num_passed, k) / comb(num_samples, k)


def wilson(mean: float, trials: float) -> tuple[float, float]:
    """Bounds of the 95 % score interval for a share of so many independent trials."""
    square = Z95 * Z95
    center = (mean + square / (2 * trials)) / (1 + square / trials)
    half = Z95 / (1 + square / trials) * sqrt(mean * (1 - mean) / trials + square / (4 * trials * trials))
    return max(0.0, center - half), min(1.0, center + half)


def effective_trials(values: Sequence[float], num_samples: int) -> float:
    """How many independent trials the per-problem values, each in [0, 1], are worth."""
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    if variance == 0.0:
        return float(len(values))  # all alike tells nothing of the spread: the careful end of the range
    return min(max(mean * (1 - mean) * len(values) / variance, len(values)), float(max(num_samples, len(values))))


def ks_of(samples_per_problem: int, asked: Sequence[int] = ()) -> list[int]:
    """The k that are reported: 1 and those asked for, else 1, 2, 4 ... and the number of samples itself."""
    if asked:
        return sorted({1, *asked})
    powers = [1 << bit for bit in range(samples_per_problem.bit_length()) if 1 << bit < samples_per_problem]
    return [*powers, samples_per_problem]


def pass_at(tallies: Sequence[Tally], ks: Sequence[int]) -> list[PassAtK]:
    """pass@k of these problems for every k; one that no problem has samples for is left out."""
    results: list[PassAtK] = []
    for k in ks:
        usable = [tally for tally in tallies if tally.num_samples >= k]
        if not usable:
            continue
        values = [pass_at_k(tally.num_samples, tally.num_passed, k) for tally in usable]
        mean = sum(values) / len(values)
        low, high = wilson(mean, effective_trials(values, sum(tally.num_samples // k for tally in usable)))
        results.append(PassAtK(k=k, value=mean, low=low, high=high, num_problems=len(usable)))
    return results


def by_difficulty(tallies: Sequence[Tally], ks: Sequence[int]) -> list[EvaluationSlice]:
    """The same for each difficulty that occurs, from easy to hard."""
    return [
        EvaluationSlice(
            difficulty=difficulty,
            reward=mean_reward(mine),
            num_problems=len(mine),
            num_episodes=sum(tally.num_samples for tally in mine),
            pass_at=pass_at(mine, ks),
        )
        for difficulty in Difficulty
        if (mine := [tally for tally in tallies if tally.difficulty is difficulty])
    ]


def mean_reward(tallies: Sequence[Tally]) -> float:
    """Mean reward over all samples; 0 without any."""
    return sum(tally.reward_sum for tally in tallies) / max(1, sum(tally.num_samples for tally in tallies))
