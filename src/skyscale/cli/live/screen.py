"""A snapshot as something to look at. Pure: decides how things look and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from skyscale.cli.live.snapshot import (
    Snapshot,
    observed,
    policy_idle_share,
    progress,
    trained,
    trainer_wait_share,
)
from skyscale.cli.live.sparkline import sparkline
from skyscale.wire.runs import Event, ProcessHealth, RunView

COLORS = {
    "running": "green", "completed": "green", "succeeded": "green", "starting": "yellow", "queued": "yellow",
    "stopping": "yellow", "stopped": "yellow", "cancelled": "yellow", "lost": "red", "failed": "red",
}  # fmt: skip
SPARK_WIDTH = 56
MOST_EVENTS = 5
# Frame, budget, rewards, numbers and the space between them.
NUM_OTHER_LINES = 17


def screen(snapshot: Snapshot, height: int = 40) -> RenderableType:
    """The whole view; fewer events on a terminal with few lines."""
    view = snapshot.view
    num_events = min(MOST_EVENTS, max(1, height - NUM_OTHER_LINES - len(view.processes) - 2 * bool(view.reason)))
    parts: list[RenderableType] = [_budget(snapshot), Text(), _reward(view), Text(), _numbers(snapshot)]
    if view.processes:
        parts += [Text(), _processes(view.processes)]
    if snapshot.events:
        parts += [Text(), _events(snapshot.events[-num_events:])]
    if view.reason:
        parts += [Text(), Text(view.reason, style="red" if view.status == "failed" else "dim")]
    stage = f" · {view.stage.replace('_', ' ')}" if view.stage else ""
    color = COLORS.get(view.status, "white")
    title = f"[bold]{view.run_id}[/] · {escape(view.spec.base_model)} · [{color}]{view.status}[/]{stage}"
    return Panel(Group(*parts), title=title, title_align="left", box=ROUNDED, border_style="blue", padding=(1, 2))


def _budget(snapshot: Snapshot) -> RenderableType:
    used = progress(snapshot.view, snapshot.now)
    share, words = used or (0.0, "no limit set: ends when it is stopped")
    line = Table.grid(padding=(0, 2))
    line.add_row(ProgressBar(total=1.0, completed=share, width=SPARK_WIDTH, complete_style="green"), words)
    return line


def _reward(view: RunView) -> RenderableType:
    rewards = [point.episode_reward for point in view.metrics if point.episode_reward is not None]
    lines = Table.grid(padding=(0, 2))
    if rewards:
        curve = Text(sparkline(rewards, SPARK_WIDTH), style="bold green")
        lines.add_row("training reward", curve, f"{rewards[0]:.2f} → [bold]{rewards[-1]:.2f}[/]")
    else:
        lines.add_row("training reward", Text("no step yet", style="dim"), "")
    if view.evaluations:
        shown = "   ".join(f"v{each.version} [bold]{each.reward:.3f}[/]" for each in view.evaluations[-6:])
        lines.add_row("held-out reward", shown, "")
    else:
        lines.add_row("held-out reward", Text("not evaluated yet", style="dim"), "")
    return lines


def _numbers(snapshot: Snapshot) -> RenderableType:
    view, stats = snapshot.view, snapshot.stats
    newest_loss = next((point.loss for point in reversed(view.metrics) if point.loss is not None), None)
    cells = (
        ("policy version", f"{view.policy_version} (serving {view.serving_version})"),
        ("loss", _number(newest_loss, ".4f")),
        ("trajectories", f"{view.trajectories:,}"),
        ("staleness", _number(trained(view, "staleness"), ".1f")),
        ("buffer", f"{stats.size} waiting, {stats.leased} leased" if stats else "-"),
        ("groups", f"{stats.groups_in_play} in play, {stats.slots} slots" if stats else "-"),
        ("sampled tokens/s", _number(observed(view, "policy", "tokens_per_s"), ",.0f")),
        ("trained tokens/s", _number(trained(view, "tokens_per_s"), ",.0f")),
        ("trainer waits", _number(trainer_wait_share(view), ".0%")),
        ("policy server idle", _number(policy_idle_share(view), ".0%")),
    )
    if view.cost is not None and (view.cost.usd or view.cost.max_cost_usd):
        cap = f" of ${view.cost.max_cost_usd:g}" if view.cost.max_cost_usd else ""
        cells += (("cost", f"${view.cost.usd:.2f}{cap}"), ("cost now", f"${view.cost.usd_per_hour:.2f}/h"))
    table = Table.grid(padding=(0, 3))
    for style in ("dim", "bold", "dim", "bold"):
        table.add_column(style=style)
    for left, right in zip(cells[::2], cells[1::2], strict=True):
        table.add_row(*left, *right)
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _processes(processes: list[ProcessHealth]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for each in processes:
        mark = Text("●", style=COLORS.get(each.status, "white"))
        restarts = f"start {each.attempt}" if each.attempt > 1 else ""
        table.add_row(mark, f"{each.role}-{each.index}", each.status, Text(each.detail, style="cyan"), restarts)
    return table


def _events(events: Sequence[Event]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for event in events:
        style = {"warning": "yellow", "error": "red"}.get(event.level, "")
        message = Text(event.message, style=style, overflow="ellipsis", no_wrap=True)
        table.add_row(Text(f"{event.timestamp:%H:%M:%S}", style="dim"), Text(event.component, style="dim"), message)
    return table
