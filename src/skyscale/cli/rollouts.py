"""`skyscale rollouts ...`: read what the model wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from skyscale.cli.session import connected, json_option, print_json, print_table, url_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from skyscale.wire.rollouts import RolloutRow

    F = TypeVar("F", bound=Callable[..., Any])

FILTERS = (
    click.option("--problem", help="Only this problem."),
    click.option("--purpose", type=click.Choice(["train", "eval"])),
    click.option("--state", help="Only groups that are consumed, flat, stale, failed, waiting, leased or evaluated."),
    click.option("--outcome", type=click.Choice(["scored", "truncated", "infrastructure_failure"])),
    click.option("--min-version", type=int, help="Played for this policy version or a newer one."),
    click.option("--max-version", type=int),
    click.option("--min-reward", type=float, help="Mean reward of the group."),
    click.option("--max-reward", type=float),
    click.option("--text", help="A completion contains this."),
)


def filter_options(command: F) -> F:
    """The conditions that lists and exports share."""
    for option in reversed(FILTERS):
        command = option(command)
    return command


@click.group()
def rollouts() -> None:
    """Read what the model wrote, and what came of it."""


@rollouts.command(name="list")
@url_option
@json_option
@filter_options
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--cursor", help="`next_cursor` of the page before.")
@click.argument("run_id")
def list_(url: str, as_json: bool, run_id: str, limit: int, cursor: str | None, **filters: Any) -> None:
    """List the groups that a run played, newest first."""
    with connected(url) as client:
        page = client.rollouts(run_id, cursor, limit, **filters)
    if as_json:
        print_json(page)
        return
    columns = ("GROUP", "PROBLEM", "FOR", "STATE", "VERSION", "REWARD", "PASSED", "PUSHED (UTC)")
    print_table(columns, [_cells(row) for row in page.rollouts], empty="no such groups")
    if page.next_cursor:
        click.echo(f"more: --cursor {page.next_cursor}")


def _cells(row: RolloutRow) -> tuple[object, ...]:
    mean = "-" if row.reward_mean is None else f"{row.reward_mean:.3f}"
    span = "" if row.reward_min is None or row.reward_max is None else f" [{row.reward_min:.2f}, {row.reward_max:.2f}]"
    passed = "-" if row.num_passed is None else f"{row.num_passed}/{row.num_completions}"
    return (
        row.group_id, row.problem_id, row.purpose, row.state, row.version, mean + span, passed,
        f"{row.pushed_at:%H:%M:%S}" + ("" if row.has_content else "  (swept)"),
    )  # fmt: skip


@rollouts.command()
@url_option
@json_option
@click.option("--tokens", "with_tokens", is_flag=True, help="Also every token with its log-probability and version.")
@click.option("--columns", type=click.IntRange(1, 8), help="Completions side by side; as many as fit by default.")
@click.argument("run_id")
@click.argument("group_id")
def show(url: str, as_json: bool, with_tokens: bool, columns: int | None, run_id: str, group_id: str) -> None:
    """Show a group: problem, completions, rewards, tests. GROUP_ID `last` is the newest."""
    with connected(url) as client:
        if group_id == "last":
            newest = client.rollouts(run_id, limit=1).rollouts
            if not newest:
                raise click.UsageError(f"{run_id} has played no groups yet")
            group_id = newest[0].group_id
        detail = client.rollout(run_id, group_id, with_tokens=with_tokens or as_json)
    if as_json:
        print_json(detail)
        return
    from rich.console import Console

    from skyscale.cli.live.rollout import render

    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    for part in render(detail, console.width, columns):
        console.print(part)


@rollouts.command()
@url_option
@filter_options
@click.argument("run_id")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export(url: str, run_id: str, file: Path, **filters: Any) -> None:
    """Write every kept completion of a run to FILE, in Parquet."""
    with connected(url) as client:
        try:
            size = client.export_rollouts(run_id, file, **filters)
        except OSError as error:
            raise click.UsageError(f"{file} cannot be written: {error}") from error
    click.echo(f"{file}: {size / 1e6:.2f} MB")
