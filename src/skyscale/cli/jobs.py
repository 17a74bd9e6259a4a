"""`skyscale jobs ...`."""

import click

from skyscale.cli.session import connected, json_option, print_json, print_table, url_option


@click.group()
def jobs() -> None:
    """Look at the processes of runs, and their logs."""


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
        (job.job_id, job.run_id, f"{job.role}-{job.index}", job.status, job.attempt, job.detail or job.reason)
        for job in page.jobs
    ]
    print_table(("JOB", "RUN", "ROLE", "STATUS", "ATTEMPT", "DETAIL"), rows, empty="no jobs yet")
    if page.next_cursor:
        click.echo(f"more: --cursor {page.next_cursor}")


@jobs.command()
@url_option
@json_option
@click.argument("job_id")
def logs(url: str, as_json: bool, job_id: str) -> None:
    """Print the newest part of a job's log."""
    with connected(url) as client:
        detail = client.job(job_id)
    print_json(detail) if as_json else click.echo(detail.logs, nl=False)
