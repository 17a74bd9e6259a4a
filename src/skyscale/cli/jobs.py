"""`skyscale jobs ...`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyscale.cli.job_request import submit_options
from skyscale.cli.session import connected, json_option, print_json, print_table, url_option

if TYPE_CHECKING:
    from skyscale.sdk.client import Client
    from skyscale.wire.jobs import JobView, TrainingJobCreate

LOOK_S = 1.0
ENDED = ("succeeded", "failed", "cancelled")


@click.group()
def jobs() -> None:
    """Run jobs of your own, and look at the processes of runs."""


@jobs.command(name="list")
@url_option
@json_option
@click.option("--run", "run_id", help="Only jobs of this run.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--cursor", help="`next_cursor` of the page before.")
def list_(url: str, as_json: bool, run_id: str | None, limit: int, cursor: str | None) -> None:
    """List jobs, newest first."""
    with connected(url) as client:
        page = client.jobs(run_id, cursor, limit)
    if as_json:
        print_json(page)
        return
    rows = [
        (job.job_id, job.run_id, f"{job.role}-{job.index}", job.status, job.attempt, _cost(job),
         job.detail or job.reason)
        for job in page.jobs
    ]  # fmt: skip
    print_table(("JOB", "RUN", "ROLE", "STATUS", "ATTEMPT", "COST", "DETAIL"), rows, empty="no jobs yet")
    if page.next_cursor:
        click.echo(f"more: --cursor {page.next_cursor}")


@jobs.command()
@url_option
@json_option
@submit_options
@click.option("--follow", is_flag=True, help="Print its log until it ends; exit code 1 unless it succeeded.")
def submit(url: str, as_json: bool, follow: bool, body: TrainingJobCreate) -> int:
    """Run COMMAND as a job of its own; write `--` before a command that has options."""
    with connected(url, retry_for_s=10.0) as client:
        made = client.create_job(body)
        if as_json and not follow:
            print_json(made)
            return 0
        click.echo(f"{made.job_id} is {made.status}; see: skyscale jobs logs {made.job_id}", err=follow)
        return int(not _followed(client, made.job_id, as_json)) if follow else 0


@jobs.command()
@url_option
@json_option
@click.argument("job_id")
def show(url: str, as_json: bool, job_id: str) -> None:
    """Show how a job is and what it has cost."""
    with connected(url) as client:
        view = client.job(job_id).job
    if as_json:
        print_json(view)
        return
    rows = [
        ("status", view.status), ("reason", view.reason), ("provider", view.provider), ("gpu", view.gpu_model),
        ("attempt", view.attempt), ("exit code", view.exit_code), ("cost", _cost(view)), ("run", view.run_id),
    ]  # fmt: skip
    print_table(("", view.job_id), [row for row in rows if row[1] not in (None, "")], empty="")


@jobs.command()
@url_option
@json_option
@click.option("--follow", is_flag=True, help="Go on until the job has ended.")
@click.argument("job_id")
def logs(url: str, as_json: bool, follow: bool, job_id: str) -> None:
    """Print the newest part of a job's log."""
    with connected(url, retry_for_s=10.0) as client:
        if follow:
            _followed(client, job_id, as_json)
            return
        detail = client.job(job_id)
    print_json(detail) if as_json else click.echo(detail.logs, nl=False)


@jobs.command()
@url_option
@json_option
@click.argument("job_id")
def cancel(url: str, as_json: bool, job_id: str) -> None:
    """Ask a job of its own to stop. Jobs of a run end with it: `skyscale runs stop`."""
    with connected(url) as client:
        view = client.cancel_job(job_id)
    print_json(view) if as_json else click.echo(f"{job_id} is asked to stop; it is {view.status} now")


@jobs.command()
@url_option
@json_option
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), help="Download all of them into this folder.")
@click.argument("job_id")
def artifacts(url: str, as_json: bool, into: Path | None, job_id: str) -> None:
    """List the files that a job left behind, or download them."""
    with connected(url) as client:
        found = client.job_artifacts(job_id)
        sizes = {} if into is None else _downloaded(client, job_id, [each.name for each in found.artifacts], into)
    if as_json:
        print_json(found)
        return
    rows = [(each.name, f"{sizes[each.name]} bytes" if into else "", each.uri) for each in found.artifacts]
    print_table(("FILE", "FETCHED", "WHERE"), rows, empty=f"{job_id} has left no files")


def _downloaded(client: Client, job_id: str, names: list[str], into: Path) -> dict[str, int]:
    try:
        into.mkdir(parents=True, exist_ok=True)
        return {name: client.fetch_artifact(job_id, name, into / name) for name in names}
    except OSError as error:
        raise click.UsageError(f"{into} cannot be written: {error}") from error


def _followed(client: Client, job_id: str, as_json: bool) -> bool:
    """Whether the job succeeded; prints what it prints until it ends."""
    from skyscale.jobs.tailing import new_part

    shown = ""
    while True:
        detail = client.job(job_id)
        fresh = new_part(shown, detail.logs)
        if fresh and not as_json:
            click.echo(fresh, nl=False)
        shown = detail.logs if fresh else shown
        if detail.job.status in ENDED:
            if as_json:
                print_json(detail)
            elif detail.job.reason:
                click.echo(f"{job_id} {detail.job.status}: {detail.job.reason}", err=True)
            return detail.job.status == "succeeded"
        time.sleep(LOOK_S)


def _cost(job: JobView) -> str:
    return "" if job.cost is None else f"${job.cost.usd:.4f}"
