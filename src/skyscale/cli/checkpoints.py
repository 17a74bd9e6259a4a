"""`skyscale checkpoints ...`: what a run has learned, as folders that other tools load."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyscale.cli.progress import Progress
from skyscale.cli.session import connected, json_option, print_json, print_table, url_option
from skyscale.errors import NotFound

if TYPE_CHECKING:
    from skyscale.sdk.client import Client
    from skyscale.wire.checkpoints import Checkpoint

version_option = click.option(
    "--version", "wanted", default="best", show_default=True, metavar="N",
    help="A version's number, `newest`, or `best` on held-out problems (the newest where nothing was evaluated).",
)  # fmt: skip


@click.group()
def checkpoints() -> None:
    """List, fetch and publish the weights of runs."""


@checkpoints.command(name="list")
@url_option
@json_option
@click.argument("run_id")
def list_(url: str, as_json: bool, run_id: str) -> None:
    """List the versions that a run keeps, newest first."""
    with connected(url) as client:
        found = client.checkpoints(run_id)
    if as_json:
        print_json(found)
        return
    rows = [
        (each.version, f"{each.size_bytes / 1e6:.2f} MB", "" if each.reward is None else f"{each.reward:.3f}",
         _marks(each), f"{each.created_at:%Y-%m-%d %H:%M:%S}", each.uri)
        for each in found.checkpoints
    ]  # fmt: skip
    columns = ("VERSION", "SIZE", "REWARD", "", "PUBLISHED (UTC)", "WHERE")
    print_table(columns, rows, empty=f"{run_id} has published nothing yet")


@checkpoints.command()
@url_option
@version_option
@click.argument("run_id")
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
def pull(url: str, wanted: str, run_id: str, folder: Path | None) -> None:
    """Fetch a version into FOLDER, verified. A call that broke off goes on where it was."""
    with connected(url, retry_for_s=10.0) as client:
        chosen = _choose(client, run_id, wanted)
        into = folder or Path(f"{run_id}-v{chosen.version}")
        _pull(client, chosen, into)
    click.echo(f"version {chosen.version} of {run_id} is in {into}")


@checkpoints.command(name="push-hub")
@url_option
@version_option
@click.option("--private", is_flag=True, help="Make the repository private if it is new.")
@click.option("--message", help="Commit message.")
@click.argument("run_id")
@click.argument("repo_id", metavar="REPO")
def push_hub(url: str, wanted: str, private: bool, message: str | None, run_id: str, repo_id: str) -> None:
    """Publish a version, with its model card, as the Hugging Face model REPO (`name` or `organisation/name`).

    Credentials are those of `hf auth login`, or HF_TOKEN.
    """
    from skyscale.cli.hub import push

    with connected(url, retry_for_s=10.0) as client, tempfile.TemporaryDirectory(prefix="skyscale-push-") as scratch:
        chosen = _choose(client, run_id, wanted)
        _pull(client, chosen, Path(scratch))
        words = message or f"Version {chosen.version} of Skyscale run {run_id}"
        address = push(Path(scratch), repo_id, message=words, private=private)
    click.echo(f"version {chosen.version} of {run_id} is at {address}")


def _choose(client: Client, run_id: str, wanted: str) -> Checkpoint:
    kept = client.checkpoints(run_id).checkpoints
    if not kept:
        raise NotFound(f"{run_id} keeps no version", hint="A run publishes its first version after its first step.")
    if wanted == "best":
        return next((each for each in kept if each.is_best), kept[0])
    if wanted == "newest":
        return kept[0]
    found = next((each for each in kept if str(each.version) == wanted), None)
    if found is None:
        numbers = ", ".join(str(each.version) for each in kept)
        raise click.UsageError(f"--version {wanted}: {run_id} keeps {numbers}; `best` and `newest` work too")
    return found


def _pull(client: Client, chosen: Checkpoint, into: Path) -> None:
    done = 0

    def tell(_: str, size: int) -> None:
        nonlocal done
        done += size
        progress.tell("fetching", done, max(done, chosen.size_bytes))

    with Progress() as progress:
        try:
            client.pull_checkpoint(chosen.run_id, chosen.version, into, tell)
        except OSError as error:
            raise click.UsageError(f"{into} cannot be written: {error}") from error


def _marks(each: Checkpoint) -> str:
    marks = {"newest": each.is_newest, "best": each.is_best, "in use": each.is_in_use}
    return ", ".join(name for name, is_so in marks.items() if is_so)
