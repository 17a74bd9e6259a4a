"""`skyscale problems ...`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyscale.cli.session import connected, json_option, print_json, print_table, url_option

if TYPE_CHECKING:
    from skyscale.wire.problem_sets import ProblemCounts, ProblemSetVersion

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def problems() -> None:
    """Upload what is trained on, and look at it."""


@problems.command()
@url_option
@json_option
@click.argument("file", type=FILE)
@click.option("--name", help="The set's name; the file's by default.")
@click.option(
    "--heldout-fraction",
    type=click.FloatRange(0, 0.9),
    default=0.1,
    show_default=True,
    help="Share held out of the families that do not say their split.",
)
@click.option("--no-solutions", is_flag=True, help="Do not judge reference solutions.")
@click.option("--dry-run", is_flag=True, help="Check everything and keep nothing.")
def upload(
    url: str, as_json: bool, file: Path, name: str | None, heldout_fraction: float, no_solutions: bool, dry_run: bool
) -> None:  # fmt: skip
    """Upload a JSONL file as a problem set, or as a new version of one."""
    from pydantic import ValidationError

    from skyscale.cli.progress import Progress
    from skyscale.wire.problem_sets import ProblemSetUpload

    try:
        options = ProblemSetUpload(
            name=name or file.stem.lower(), heldout_fraction=heldout_fraction,
            check_solutions=not no_solutions, dry_run=dry_run,
        )  # fmt: skip
    except ValidationError as error:
        raise click.UsageError(f"--name {name or file.stem!r}: a-z 0-9 _ . -, at most 64 characters") from error
    with connected(url) as client, Progress() as progress:
        uploaded = client.upload_problem_set(file, options, progress.tell)
    if as_json:
        print_json(uploaded)
        return
    done = "would be" if dry_run else "is" if uploaded.created else "was there already:"
    click.echo(f"{done} {uploaded.version.ref}")
    _describe(uploaded.version)


@problems.command(name="list")
@url_option
@json_option
def list_(url: str, as_json: bool) -> None:
    """List problem sets."""
    with connected(url) as client:
        found = client.problem_sets()
    if as_json:
        print_json(found)
        return
    rows = [
        (each.name, each.current.version, each.num_versions, each.current.counts.problems,
         _joined(each.current.counts.by_split), _joined(each.current.counts.by_style))
        for each in found.problem_sets
    ]  # fmt: skip
    print_table(("NAME", "CURRENT", "VERSIONS", "PROBLEMS", "SPLIT", "STYLE"), rows, empty="no problem sets")


@problems.command()
@url_option
@json_option
@click.argument("ref")
def show(url: str, as_json: bool, ref: str) -> None:
    """Show a problem set (NAME or NAME@VERSION) with its versions."""
    with connected(url) as client:
        found = client.problem_set(ref)
    if as_json:
        print_json(found)
        return
    for version in found.versions:
        click.secho(version.ref, bold=True)
        _describe(version)
    if found.used_by:
        click.echo(f"played by {', '.join(found.used_by)}")


@problems.command()
@url_option
@json_option
@click.argument("ref", default="embedded")
@click.option("--split", type=click.Choice(["train", "heldout"]))
@click.option("--difficulty", type=click.Choice(["easy", "medium", "hard"]))
@click.option("--tag")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--cursor", help="`next_cursor` of the page before.")
def sample(
    url: str, as_json: bool, ref: str, split: str | None, difficulty: str | None, tag: str | None, limit: int,
    cursor: str | None,
) -> None:  # fmt: skip
    """Look into a problem set; hidden tests stay hidden."""
    with connected(url) as client:
        page = client.sample_problems(ref, split, difficulty, tag, cursor, limit)
    if as_json:
        print_json(page)
        return
    rows = [
        (each.id, each.difficulty, each.split, each.style, each.total_tests, each.trust, each.prompt[:60])
        for each in page.problems
    ]
    columns = ("PROBLEM", "DIFFICULTY", "SPLIT", "STYLE", "TESTS", "TRUST", "PROMPT")
    print_table(columns, rows, empty="no such problems")
    if page.next_cursor:
        click.echo(f"more: --cursor {page.next_cursor}")


@problems.command()
@url_option
@click.argument("ref")
def delete(url: str, ref: str) -> None:
    """Delete a problem set, or one version of it."""
    with connected(url) as client:
        client.delete_problem_set(ref)
    click.echo(f"deleted {ref}")


@problems.command()
@click.argument("file", type=FILE)
@click.option("--heldout-fraction", type=click.FloatRange(0, 0.9), default=0.1, show_default=True)
def check(file: Path, heldout_fraction: float) -> None:
    """Check a JSONL file on this machine; solutions are judged by `upload --dry-run`."""
    import tempfile

    from skyscale.cli.progress import Progress
    from skyscale.envs.intake import take_in
    from skyscale.errors import Invalid

    with tempfile.TemporaryDirectory() as folder, Progress() as progress:
        report = take_in(
            file, Path(folder), heldout_fraction, lambda done, total: progress.tell("reading", done, total)
        )
    if report.num_errors:
        more = report.num_errors - len(report.errors)
        mistakes = "1 mistake" if report.num_errors == 1 else f"{report.num_errors} mistakes"
        detail = "\n".join([f"{file} has {mistakes}:", *report.errors])
        raise Invalid(detail + (f"\nand {more} more" if more else ""), hint="docs/problem-format.md has the format.")
    click.echo(f"{file} is a problem set: {report.content_hash}")
    _describe_counts(report.counts, report.notes)


@problems.command(name="import")
@click.argument("source")
@click.option("--format", "format_name", required=True, help="humaneval, mbpp, apps, livecodebench or gsm8k.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to; standard output by default.")
@click.option("--split", help="Of a data set of the hub; `test` by default.")
@click.option("--limit", type=click.IntRange(1), help="Only so many rows.")
@click.option("--dry-run", is_flag=True, help="Only say what would become of the rows.")
def import_(
    source: str, format_name: str, out: Path | None, split: str | None, limit: int | None, dry_run: bool
) -> None:
    """Convert a published data set: a JSONL or JSON file, or hf:ID[:CONFIG]."""
    from itertools import islice

    from skyscale.envs.importers.formats import HUB, Outcome, converted, rows_of

    if not source.startswith(HUB) and not Path(source).is_file():
        raise click.UsageError(f"there is no file {source!r}; a data set of the hub is {HUB}ID")
    outcome = Outcome()
    lines = converted(islice(rows_of(source, split), limit), format_name, outcome)
    sink = None if dry_run or out is None else out.open("w", encoding="utf-8")
    try:
        for line in lines:
            if not dry_run:
                click.echo(json.dumps(line, ensure_ascii=False), file=sink)
    finally:
        if sink is not None:
            sink.close()
    for kind, number in sorted(outcome.kinds.items()):
        click.echo(f"{number:8} {kind}", err=True)
    if outcome.skipped:
        click.echo(f"{outcome.skipped:8} skipped", err=True)
        for reason in outcome.reasons:
            click.echo(f"         {reason}", err=True)


def _describe(version: ProblemSetVersion) -> None:
    _describe_counts(version.counts, version.notes)
    if version.solutions_checked:
        click.echo(f"  {version.solutions_checked} solutions judged")


def _describe_counts(counts: ProblemCounts, notes: list[str]) -> None:
    click.echo(f"  {counts.problems} problems in {counts.families} families: {_joined(counts.by_split)}")
    click.echo(f"  {_joined(counts.by_difficulty)}; {_joined(counts.by_style)}; trust {_joined(counts.by_trust)}")
    if counts.by_tag:
        click.echo(f"  tags: {_joined(counts.by_tag)}")
    for note in notes:
        click.secho(f"  note: {note}", fg="yellow")


def _joined(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())
