"""`skyscale demo`: the whole product in one command, through the public API, in separate processes.

Whatever ends it (the run's end, Ctrl-C, SIGTERM, an error), the control plane it started is stopped, and with it
every job; if the demo itself is killed, the kernel tells the control plane to stop.
"""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from skyscale.cli.demo_server import DemoServer
    from skyscale.sdk.client import Client
    from skyscale.wire.runs import RunView

NUM_PROBLEMS = 64
SAMPLES_PER_PROBLEM = 4
RUNS_FOLDER = Path(".skyscale/demo")


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), default=150.0, show_default=True, help="Time to train for.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Rollout worker processes.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of the control plane; a free one by default."
)
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Default: a new one in .skyscale/demo."
)
@click.option("--keep-serving", is_flag=True, help="Leave the control plane up at the end, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def demo(
    seconds: float, seed: int, workers: int, port: int, data_dir: Path | None, keep_serving: bool, as_json: bool
) -> int:
    """Train a small model before your eyes: reinforcement learning on code, in minutes."""
    from skyscale.cli.demo_server import DemoServer, new_folder

    folder = data_dir or new_folder(RUNS_FOLDER)
    click.secho("Skyscale demo", bold=True)
    click.echo(f"Starting a control plane in {folder} ...")
    server = DemoServer(folder, port)
    with _interrupted_by(signal.SIGTERM, signal.SIGHUP), server:
        return _train_and_tell(server, seconds, seed, workers, keep_serving=keep_serving, as_json=as_json)


def _train_and_tell(
    server: DemoServer, seconds: float, seed: int, workers: int, *, keep_serving: bool, as_json: bool
) -> int:
    from skyscale.cli.demo_report import result_of, show_result
    from skyscale.cli.live.watch import watch_run
    from skyscale.cli.session import print_json
    from skyscale.sdk.client import Client
    from skyscale.wire.runs import Evaluation, RunCreate

    server.wait_until_ready()
    request = RunCreate(
        base_model="skyscale/starter",
        num_workers=workers,
        seed=seed,
        max_hours=seconds / 3600,
        evaluation=Evaluation(num_problems=NUM_PROBLEMS, samples_per_problem=SAMPLES_PER_PROBLEM),
    )
    # The control plane is ours and new: a token of the user's environment would be refused by it.
    with Client(server.url, retry_for_s=30.0) as client:
        run_id = client.create_run(request).run_id
        click.echo(f"Run {run_id} at {server.url}; training for {seconds:.0f} s, then evaluating.\n")
        view = watch_run(client, run_id, check=server.check)
        if view.status != "completed":
            return _tell_failure(client, view, server)
        result = result_of(view)
        show_result(client, view, result, server.url)
        if keep_serving:
            click.echo(f"\nServing at {server.url} until Ctrl-C.")
            _wait_for_interrupt(server)
        if as_json:
            print_json(result, is_line=True)
    return 0


def _tell_failure(client: Client, view: RunView, server: DemoServer) -> int:
    click.echo(
        f"\n{click.style(f'The run {view.status}:', fg='red', bold=True)} {view.reason or 'no reason given'}", err=True
    )
    for job in client.jobs(view.run_id).jobs:
        if job.status in ("failed", "lost"):
            click.echo(f"  {job.role}-{job.index} {job.status}: {job.reason or job.detail}", err=True)
    click.echo(f"Logs of the processes: {server.folder / 'jobs'}", err=True)
    click.echo(f"Log of the control plane: {server.log_path}", err=True)
    return 1


def _wait_for_interrupt(server: DemoServer) -> None:
    import time

    try:
        while True:
            server.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        click.echo()


@contextmanager
def _interrupted_by(*numbers: signal.Signals) -> Generator[None]:
    """Within the block, these signals end the demo as Ctrl-C does."""

    def interrupt(_: int, __: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
