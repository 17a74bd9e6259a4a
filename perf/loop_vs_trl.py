"""This pipeline against TRL's GRPOTrainer: same model, problems, reward function, group and batch size, same cores.

Each side runs in its own processes, one after the other, for the same wall-clock budget from its first rollout. Both
sides report every batch of rollouts with its mean reward; one function computes samples/s and time to a reward of both.
TRL is measured with its own recommended settings for this loss (dapo, no KL, no truncation of sampling).

    python perf/loop_vs_trl.py --seconds 120

The last line is JSON: `samples_per_s_ratio` and `time_to_reward_ratio` (ours / theirs and theirs / ours: above 1 is
better for us), with both curves' facts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

WINDOW_SAMPLES = 640
"""Rewards are averaged over this many newest samples: five batches of 16 x 8."""


@dataclass(frozen=True)
class Batch:
    """One batch of rollouts: seconds since the first rollout began, how many samples, their mean reward."""

    at_s: float
    samples: int
    reward: float


def time_to_reward(batches: list[Batch], target: float) -> float | None:
    """Seconds until the mean reward of the newest `WINDOW_SAMPLES` samples reaches `target`; None if it never does."""
    for end in range(1, len(batches) + 1):
        total, gained = 0, 0.0
        for batch in reversed(batches[:end]):
            total, gained = total + batch.samples, gained + batch.samples * batch.reward
            if total >= WINDOW_SAMPLES:
                break
        if total >= WINDOW_SAMPLES and gained / total >= target:
            return round(batches[end - 1].at_s, 1)
    return None


def summarise(batches: list[Batch], target: float) -> dict[str, object]:
    """Throughput and learning speed of one side."""
    samples = sum(batch.samples for batch in batches)
    newest = batches[-5:]
    return {
        "samples": samples,
        "seconds": round(batches[-1].at_s, 1),
        "samples_per_s": round(samples / batches[-1].at_s, 1),
        "first_reward": round(batches[0].reward, 3),
        "last_reward": round(sum(batch.reward for batch in newest) / len(newest), 3),
        "time_to_reward_s": time_to_reward(batches, target),
        "times_to_rewards_s": {str(each): time_to_reward(batches, each) for each in (0.6, 0.7, 0.8, 0.9, 0.95)},
    }


def run_side(side: str, arguments: argparse.Namespace) -> list[Batch]:
    """Run one side as a process of its own and read the batches it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "batches.jsonl"
        script = Path(__file__).with_name(f"loop_side_{side}.py")
        command = [sys.executable, str(script), "--out", str(out), "--seconds", str(arguments.seconds)]
        command += ["--group-size", str(arguments.group_size), "--groups", str(arguments.groups)]
        command += ["--learning-rate", str(arguments.learning_rate), "--seed", str(arguments.seed)]
        command += ["--max-new-tokens", str(arguments.max_new_tokens), "--minibatches", str(arguments.minibatches)]
        subprocess.run(command, check=True, stdout=sys.stderr, timeout=arguments.seconds * 3 + 300)
        return [Batch(**json.loads(line)) for line in out.read_text().splitlines()]


def main() -> None:
    """Run both sides and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=150.0, help="budget of each side from its first rollout")
    parser.add_argument("--target", type=float, default=0.9, help="mean training reward that both must reach")
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--groups", type=int, default=16)
    parser.add_argument("--minibatches", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--max-new-tokens", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    ours = summarise(run_side("ours", arguments), arguments.target)
    theirs = summarise(run_side("trl", arguments), arguments.target)
    print(f"{'':22}{'skyscale':>20}{'trl':>20}")
    for key in ours.keys() - {"times_to_rewards_s"}:
        print(f"{key:22}{ours[key]!s:>20}{theirs[key]!s:>20}")
    ours_s, theirs_s = ours["time_to_reward_s"], theirs["time_to_reward_s"]
    both = isinstance(ours_s, float) and isinstance(theirs_s, float)
    result = {
        "samples_per_s_ratio": round(float(str(ours["samples_per_s"])) / float(str(theirs["samples_per_s"])), 2),
        "time_to_reward_ratio": round(float(str(theirs_s)) / float(str(ours_s)), 2) if both else None,
        "target": arguments.target,
        "skyscale": ours,
        "trl": theirs,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
