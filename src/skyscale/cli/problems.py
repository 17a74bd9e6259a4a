"""`skyscale problems ...`."""

import click

from skyscale.cli.session import connected, json_option, print_json, print_table, url_option


@click.group()
def problems() -> None:
    """Look at what is trained on."""


@problems.command(name="list")
@url_option
@json_option
@click.option("--split", type=click.Choice(["train", "heldout"]))
@click.option("--difficulty", type=click.Choice(["easy", "medium", "hard"]))
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--cursor", help="`next_cursor` of the page before.")
def list_(url: str, as_json: bool, split: str | None, difficulty: str | None, limit: int, cursor: str | None) -> None:
    """List problems."""
    with connected(url) as client:
        page = client.problems(split, difficulty, cursor, limit)
    if as_json:
        print_json(page)
        return
    found = page.problems
    rows = [(each.id, each.family, each.difficulty, each.split, each.total_tests, each.trust, each.prompt[:60])
            for each in found]  # fmt: skip
    columns = ("PROBLEM", "FAMILY", "DIFFICULTY", "SPLIT", "TESTS", "TRUST", "PROMPT")
    print_table(columns, rows, empty="no such problems")
    if page.num_weak:
        click.echo(
            f"{page.num_weak} of {page.num_problems} are of weak trust: a run trains on them only with allow_weak_trust"
        )
    if page.next_cursor:
        click.echo(f"more: --cursor {page.next_cursor}")


@problems.command()
@url_option
@json_option
@click.argument("problem_id")
def show(url: str, as_json: bool, problem_id: str) -> None:
    """Show one problem and its public examples."""
    with connected(url) as client:
        found = client.problem(problem_id)
    if as_json:
        print_json(found)
        return
    click.secho(found.id, bold=True)
    click.echo(f"{found.family}, {found.difficulty}, {found.split}, {found.total_tests} tests, trust {found.trust}\n")
    click.echo(found.prompt)
    for example in found.test_cases:
        click.secho(f"  {example}", fg="cyan")
