"""Draws results of `off_policy.py`: `off_policy_plot.py OUT.svg RESULT...`, where each result ends with its JSON.

Left: reward on held-out problems after training, by staleness, with every seed as a point. Right: reward of fresh
rollouts while training, at the largest staleness, means over seeds and five versions.
"""

import json
import sys
from pathlib import Path
from statistics import fmean

import matplotlib as mpl
import matplotlib.pyplot as plt

COLORS = {
    "corrected": "#1b7837", "decoupled": "#5aae61", "naive": "#c2710c", "uncorrected": "#b2182b",
    "staleness 0": "#444444",
}  # fmt: skip
LABELS = {
    "corrected": "decoupled, the clip counts the age (default)", "decoupled": "decoupled, masked outside [0.5, 5]",
    "naive": "PPO ratio to the engine", "uncorrected": "no correction",
}  # fmt: skip
WINDOW = 5


def read(path: str) -> list[dict]:
    """The results in the last line of a file."""
    return json.loads(Path(path).read_text().strip().splitlines()[-1])["results"]


def draw_by_staleness(axes: plt.Axes, results: list[dict]) -> None:
    """Held-out reward against staleness; the levels are evenly spaced."""
    levels = sorted({each["staleness"] for each in results})
    for arm in LABELS:
        # Without staleness there is nothing to correct, so all arms share that run.
        found = {
            s: [r["heldout"] for r in results if r["staleness"] == s and (r["arm"] == arm or s == 0)] for s in levels
        }
        axes.plot(
            [levels.index(s) for s in found], [fmean(v) for v in found.values()], color=COLORS[arm], label=LABELS[arm]
        )
        points = [(levels.index(s), value) for s, values in found.items() for value in values]
        axes.scatter(*zip(*points, strict=True), color=COLORS[arm], s=14, alpha=0.6)
    axes.set(xticks=range(len(levels)), xlabel="staleness of every batch, versions", ylabel="held-out reward")
    axes.set_xticklabels(levels)
    axes.legend(frameon=False, fontsize=8)


def draw_curves(axes: plt.Axes, results: list[dict]) -> None:
    """Reward of fresh rollouts against policy version."""
    worst = max(each["staleness"] for each in results)
    for name, wanted in [("staleness 0", (0, "corrected")), *((arm, (worst, arm)) for arm in LABELS)]:
        curves = [each["curve"] for each in results if (each["staleness"], each["arm"]) == wanted]
        mean = [fmean(values) for values in zip(*curves, strict=True)]
        smooth = [fmean(mean[max(0, i - WINDOW + 1) : i + 1]) for i in range(len(mean))]
        axes.plot(smooth, color=COLORS[name], ls=":" if name == "staleness 0" else "-", label=name)
    axes.set(xlabel=f"policy version, at staleness {worst}", ylabel="reward of fresh rollouts")
    axes.legend(frameon=False, fontsize=8)


def main() -> None:
    """Draw."""
    target, *sources = sys.argv[1:]
    results = [each for source in sources for each in read(source)]
    mpl.rcParams["svg.hashsalt"] = "skyscale"
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), sharey=True)
    draw_by_staleness(left, results)
    draw_curves(right, results)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main()
