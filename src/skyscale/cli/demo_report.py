"""What the demo ends with: numbers for a program, and a page for a person."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from urllib.parse import unquote, urlsplit

from skyscale.cli.live.snapshot import clock, observed, trained
from skyscale.sdk.client import Client
from skyscale.wire.episodes import EvaluationSample
from skyscale.wire.runs import RunView

WIDTH = 100


def result_of(view: RunView) -> dict[str, object]:
    """The result of an ended run, as `--json` prints it."""
    before, after = (view.evaluations[0], view.evaluations[-1]) if view.evaluations else (None, None)
    return {
        "reward_before": before.reward if before else None,
        "reward_after": after.reward if after else None,
        "run_seconds": _seconds(view),
        "policy_versions": view.policy_version,
        "trajectories": view.trajectories,
        "run_id": view.run_id,
        "checkpoint": checkpoint_path(view),
        "trainer_wait_share": _trainer_wait_share(view),
        "policy_idle_share": observed(view, "policy", "total_idle_share"),
        "samples_per_s": _samples_per_s(view),
        "serving_version": view.serving_version,
        "evaluated_version": after.version if after else None,
        "status": view.status,
    }


def _trainer_wait_share(view: RunView) -> float | None:
    """Share of the trainer's time without data between the first and the last report that the view holds."""
    waited_s = total_s = 0.0
    for before, point in pairwise(view.metrics):
        seconds = (point.timestamp - before.timestamp) / 1000
        waited_s += seconds * point.metrics.get("wait_share", 0.0)
        total_s += seconds
    return waited_s / total_s if total_s else trained(view, "wait_share")


def checkpoint_path(view: RunView) -> str | None:
    """The folder that `from_pretrained` takes: a path where the artifact store is a folder, else the URI."""
    uri = view.checkpoint
    if uri is None or not uri.startswith("file://"):
        return uri
    return unquote(urlsplit(uri).path).removesuffix("/manifest.json")


def _seconds(view: RunView) -> float | None:
    return round((view.ended_at - view.created_at).total_seconds(), 3) if view.ended_at else None


def _samples_per_s(view: RunView) -> float | None:
    """Training trajectories by the time from the first rollout to the last training step."""
    if view.rollouts_started_at is None or not view.metrics:
        return None
    span_s = view.metrics[-1].timestamp / 1000 - view.rollouts_started_at.timestamp()
    return round(view.trajectories / span_s, 2) if span_s > 0 else None


def telling_pair(
    before: Sequence[EvaluationSample], after: Sequence[EvaluationSample]
) -> tuple[EvaluationSample, EvaluationSample] | None:
    """Typical answers to the problem that improved most: of each evaluation the one nearest to its problem's mean."""
    first, last = _by_problem(before), _by_problem(after)
    shared = [problem_id for problem_id in first if problem_id in last]
    if not shared:
        return None
    best = max(shared, key=lambda problem_id: _mean(last[problem_id]) - _mean(first[problem_id]))
    return _typical(first[best]), _typical(last[best])


def _by_problem(samples: Sequence[EvaluationSample]) -> dict[str, list[EvaluationSample]]:
    groups: dict[str, list[EvaluationSample]] = {}
    for sample in samples:
        groups.setdefault(sample.problem_id, []).append(sample)
    return groups


def _mean(samples: Sequence[EvaluationSample]) -> float:
    return fmean(sample.reward for sample in samples)


def _typical(samples: Sequence[EvaluationSample]) -> EvaluationSample:
    mean = _mean(samples)
    return min(samples, key=lambda sample: abs(sample.reward - mean))


def show_result(client: Client, view: RunView, result: dict[str, object], url: str) -> None:
    """Print the page for a person."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    console = Console() if Console().is_terminal else Console(width=WIDTH)
    console.print()
    if view.evaluations:
        first, last = view.evaluations[0], view.evaluations[-1]
        table = Table.grid(padding=(0, 3))
        table.add_row("", "[bold]reward[/]", "[dim]on held-out problems[/]")
        for name, each, style in (("before", first, "yellow"), ("after", last, "bold green")):
            bar = "█" * round(each.reward * 40)
            table.add_row(f"{name} (version {each.version})", f"[{style}]{each.reward:.3f}[/]", f"[{style}]{bar}[/]")
        console.print(Panel(table, title="What was learned", title_align="left", border_style="green", padding=(1, 2)))
        _show_pair(console, client, view, first.version, last.version)
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("run time", clock(_seconds(view) or 0.0)),
        ("policy versions", f"{view.policy_version}, each swapped into the running policy server"),
        ("trajectories", f"{view.trajectories:,} ({result['samples_per_s'] or '-'} per second)"),
        ("checkpoint", checkpoint_path(view) or "-"),
        ("", "Hugging Face format: AutoModelForCausalLM.from_pretrained(...) loads it"),
        ("API", f"{url}/docs"),
    ):
        facts.add_row(f"[dim]{name}[/]", Text(value, overflow="fold"))
    console.print(facts)


def _show_pair(console: object, client: Client, view: RunView, first: int, last: int) -> None:
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    assert isinstance(console, Console)
    pair = telling_pair(client.evaluation(view.run_id, first), client.evaluation(view.run_id, last))
    if pair is None:
        return
    problem = client.problem(pair[0].problem_id)
    console.print(Panel(Text(problem.prompt), title=f"Held-out problem {problem.id}", title_align="left"))
    for name, sample in (("before", pair[0]), ("after", pair[1])):
        color = "green" if sample.reward >= 1 else "yellow" if sample.reward > 0 else "red"
        title = f"The model's answer {name}: reward [{color}]{sample.reward:.2f}[/]"
        answer = Text(sample.text.strip() or "(nothing)")
        console.print(Panel(answer, title=title, title_align="left", border_style=color))
