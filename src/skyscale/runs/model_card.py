"""The README.md of a checkpoint: where it comes from, in the form that the Hugging Face Hub reads. Pure.

Names of machines and paths stay out: a base model or problem set that is a local file is named by its last part alone.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from skyscale import __version__
from skyscale.runs.resolve import STARTER, is_path
from skyscale.wire.runs import EvaluationResult, RunSpec

PLAIN_NAME = re.compile(r"[\w.@+-]+(/[\w.@+-]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What a card tells."""

    spec: RunSpec
    version: int
    newest_version: int
    published_at: datetime
    train_reward: float | None
    """Mean training reward of the step that made this version."""
    evaluations: Sequence[EvaluationResult]


def model_card(facts: CardFacts) -> str:
    """Markdown with a YAML head."""
    spec = facts.spec
    name = f"{spec.run_id} version {facts.version}"
    return "\n".join(
        [*_head(spec), "", f"# {name}", "", *_origin(facts), "", *_results(facts), *_recipe(spec), *_use()]
    )


def _head(spec: RunSpec) -> list[str]:
    # JSON is YAML, so whatever a name contains stays a string.
    library = "peft" if spec.training.method == "lora" else "transformers"
    lines = ["---", f"library_name: {library}", "pipeline_tag: text-generation"]
    if not is_path(spec.base_model) and spec.base_model != STARTER:
        lines.append(f"base_model: {json.dumps(spec.base_model)}")
    tags = list(dict.fromkeys(["skyscale", "reinforcement-learning", spec.algorithm.name]))
    return [*lines, f"tags: {json.dumps(tags)}", "---"]


def _origin(facts: CardFacts) -> list[str]:
    spec = facts.spec
    lines = [
        "Trained by reinforcement learning on tasks whose answers are checked: generated programs run in a sandbox,",
        "the share of hidden tests that pass is the reward.",
        "",
        "| | |",
        "|---|---|",
        f"| base model | {shown(spec.base_model)} |",
        f"| algorithm | {spec.algorithm.name}, {spec.mode} |",
        f"| problem set | {shown(spec.problem_set)}{f' ({spec.difficulty})' if spec.difficulty else ''} |",
        f"| run | {spec.run_id}, seed {spec.seed} |",
        f"| policy version | {facts.version} of {facts.newest_version} |",
        f"| published | {facts.published_at:%Y-%m-%d %H:%M} UTC |",
        f"| made with | skyscale {__version__} |",
    ]
    if facts.train_reward is not None:
        lines.append(f"| mean training reward at this version | {facts.train_reward:.4f} |")
    return lines


def _results(facts: CardFacts) -> list[str]:
    by_version = {result.version: result for result in facts.evaluations}
    before, after = by_version.get(0), by_version.get(facts.version)
    if before is None and after is None:
        return ["No held-out evaluation of this version is on record.", ""]
    lines = [
        "## Held-out problems",
        "",
        "| | version | problems | reward | pass@k (95 % interval) |",
        "|---|---|---|---|---|",
    ]
    for label, result in (("before", before), ("after", after)):
        if result is None:
            lines.append(f"| {label} | not evaluated | | | |")
            continue
        passes = "; ".join(f"k={p.k}: {p.value:.3f} ({p.low:.3f} to {p.high:.3f})" for p in result.pass_at)
        lines.append(f"| {label} | {result.version} | {result.num_problems} | {result.reward:.4f} | {passes} |")
    samples, temperature = facts.spec.evaluation.samples_per_problem, facts.spec.evaluation.temperature
    note = f"{samples} samples per problem at temperature {temperature:g}; unbiased pass@k (arXiv:2107.03374),"
    return [*lines, "", note, "Wilson interval with problems as clusters. These problems were not trained on.", ""]


def _recipe(spec: RunSpec) -> list[str]:
    recipe = {
        "algorithm": spec.algorithm.model_dump(mode="json"),
        "training": spec.training.model_dump(mode="json"),
        "sampling": spec.sampling.model_dump(mode="json"),
        "max_steps": spec.max_steps,
        "max_hours": spec.max_hours,
        "target_reward": spec.target_reward,
    }
    return ["## Settings, as resolved", "", "```json", json.dumps(recipe, indent=2), "```", ""]


def _use() -> list[str]:
    return [
        "## Use",
        "",
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'model = AutoModelForCausalLM.from_pretrained("this/folder")',
        'tokenizer = AutoTokenizer.from_pretrained("this/folder")',
        "```",
        "",
    ]


def shown(name: str) -> str:
    """A model's or problem set's name without any path, safe in a table."""
    last = PurePosixPath(name.replace("\\", "/")).name if is_path(name) or not PLAIN_NAME.fullmatch(name) else name
    return "`" + re.sub(r"[`|\s]+", " ", last or "unnamed") + "`"
