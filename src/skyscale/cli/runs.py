"""`skyscale runs ...`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from skyscale.cli.session import connected, json_option, print_json, print_table, url_option

if TYPE_CHECKING:
    from skyscale.wire.runs import Event, RunView

SOURCE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def runs() -> None:
    """Create, watch and stop training runs."""


@runs.command()
@url_option
@json_option
@click.option("--base-model", help="`skyscale/starter` (default), a local folder, or a Hugging Face id.")
@click.option("--num-workers", type=int, help="Rollout worker processes.")
@click.option("--gpu-model", help="What the jobs run on; `cpu` by default.")
@click.option("--provider", help="Where the jobs run; `auto`, by default, asks those of GPU_PROVIDER_ORDER in turn.")
@click.option("--problem-set", help="What is trained on; `embedded` by default.")
@click.option("--difficulty", type=click.Choice(["easy", "medium", "hard"]), help="Train on these problems only.")
@click.option("--max-turns", type=int, help="Most answers of an episode; a wrong one is followed by feedback.")
@click.option("--reward", "reward_file", type=SOURCE, help="A Python file with `reward(task, completion)`.")
@click.option("--environment", help="A Python file with a class `Environment`, or the URL of a service.")
@click.option("--mode", type=click.Choice(["async", "synchronous"]), help="Synchronous is reproducible and slow.")
@click.option("--seed", type=int)
@click.option("--max-steps", type=int, help="Complete after so many policy versions.")
@click.option("--max-hours", type=float, help="Complete after so much time.")
@click.option("--max-cost-usd", type=float, help="Complete, with a checkpoint, before it costs more (list prices).")
@click.option("--target-reward", type=float, help="Complete when the training reward reaches this.")
@click.option("--run-id", help="Your own id, rl-...; the same request again is the same run.")
@click.option("--file", "file", type=click.File("r", encoding="utf-8"), help="The request as a JSON file; - is stdin.")
@click.option(
    "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Any field, e.g. algorithm.group_size=16."
)
@click.option("--dry-run", is_flag=True, default=None, help="Only validate, and show every resolved setting.")
@click.option("--watch", "should_watch", is_flag=True, help="Watch the run once it is created.")
def create(
    url: str, as_json: bool, file: TextIO | None, settings: tuple[str, ...], should_watch: bool,
    reward_file: Path | None, environment: str | None, **flags: object,
) -> int | None:  # fmt: skip
    """Start a run. Every field has a default that works."""
    from skyscale.cli.run_request import build_request, environment_of

    flags["environment"] = environment_of(reward_file, environment)
    request = build_request(file.read() if file else None, flags, settings)
    with connected(url) as client:
        created = client.create_run(request)
        if as_json or request.dry_run:
            print_json(created, is_line=as_json and should_watch)
        else:
            click.echo(f"{click.style(created.run_id, bold=True)} is {created.status}")
            click.echo(f"watch it with `skyscale runs watch {created.run_id}`") if not should_watch else None
    return _watch(url, created.run_id, as_json) if should_watch and not request.dry_run else None


@runs.command(name="list")
@url_option
@json_option
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--cursor", help="`next_cursor` of the page before.")
def list_(url: str, as_json: bool, limit: int, cursor: str | None) -> None:
    """List runs, newest first."""
    with connected(url) as client:
        page = client.list_runs(cursor, limit)
    if as_json:
        print_json(page)
        return
    rows = [
        (
            run.run_id, run.status, run.policy_version, "" if run.last_reward is None else f"{run.last_reward:.3f}",
            run.base_model, f"{run.created_at:%Y-%m-%d %H:%M:%S}", run.reason,
        )
        for run in page.runs
    ]  # fmt: skip
    columns = ("RUN", "STATUS", "VERSION", "REWARD", "MODEL", "CREATED (UTC)", "REASON")
    print_table(columns, rows, empty="no runs yet: `skyscale runs create` starts one")
    if page.next_cursor:
        click.echo(f"more: --cursor {page.next_cursor}")


@runs.command()
@url_option
@json_option
@click.argument("run_id")
def show(url: str, as_json: bool, run_id: str) -> None:
    """Show a run as it is now."""
    with connected(url) as client:
        view = client.get_run(run_id)
        if as_json:
            print_json(view)
            return
        from rich.console import Console

        from skyscale.cli.live.screen import screen
        from skyscale.cli.live.snapshot import take

        Console().print(screen(take(client, view, [])))


@runs.command()
@url_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object per change, for programs.")
@click.argument("run_id")
def watch(url: str, as_json: bool, run_id: str) -> int:
    """Watch a run to its end. Leaving with Ctrl-C does not stop it."""
    return _watch(url, run_id, as_json)


def _watch(url: str, run_id: str, as_json: bool) -> int:
    from skyscale.cli.live.watch import watch_run

    with connected(url, retry_for_s=30.0) as client:
        view = watch_run(client, run_id, as_json=as_json)
    return _verdict(view)


def _verdict(view: RunView) -> int:
    if view.status == "failed":
        click.echo(f"{click.style('failed:', fg='red', bold=True)} {view.reason}", err=True)
        return 1
    return 0


@runs.command()
@url_option
@click.option("--wait", "should_wait", is_flag=True, help="Return when nothing of it is left running.")
@click.argument("run_id")
def stop(url: str, should_wait: bool, run_id: str) -> None:
    """Stop a run."""
    from skyscale.cli.live.watch import wait_for_end

    with connected(url, retry_for_s=5.0) as client:
        client.stop_run(run_id)
        view = wait_for_end(client, run_id, timeout_s=120.0) if should_wait else client.get_run(run_id)
    click.echo(f"{view.run_id} is {view.status}")


@runs.command()
@url_option
@json_option
@click.option("--after", type=int, default=0, help="Only events after this number.")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run has ended.")
@click.argument("run_id")
def events(url: str, as_json: bool, after: int, follow: bool, run_id: str) -> None:
    """Print a run's events, oldest first."""
    with connected(url, retry_for_s=30.0 if follow else 0.0) as client:
        stream = client.follow_events(run_id, after) if follow else client.events(run_id, after).events
        for event in stream:
            print_json(event, is_line=True) if as_json else click.echo(event_line(event))


def event_line(event: Event) -> str:
    """An event on one line."""
    color = {"warning": "yellow", "error": "red"}.get(event.level)
    return f"{event.timestamp:%H:%M:%S}  {event.component:<12} {click.style(event.message, fg=color)}"


@runs.command()
@url_option
@click.option("--role", type=click.Choice(["policy", "trainer", "worker"]), help="Only jobs of this role.")
@click.argument("run_id")
def logs(url: str, role: str | None, run_id: str) -> None:
    """Print the newest part of the logs of a run's processes."""
    with connected(url) as client:
        client.get_run(run_id)  # an unknown run is an error, not one without processes
        for job in client.jobs(run_id).jobs:
            if role in (None, job.role):
                title = f"{job.role}-{job.index} ({job.job_id}, {job.status})"
                click.secho(f"--- {title} ".ljust(80, "-"), bold=True)
                click.echo(client.job(job.job_id).logs.rstrip() or "(nothing was written)")
