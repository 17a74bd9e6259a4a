"""`skyscale algorithms ...`: what `algorithm.name` may be and what it stands for. Asks no server."""

import json

import click

from skyscale.cli.session import print_table


@click.group()
def algorithms() -> None:
    """Look at the training algorithms."""


@algorithms.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the presets."""
    from skyscale.wire.algorithms import PRESETS

    if as_json:
        found = {name: {"summary": each.summary, "papers": each.papers} for name, each in PRESETS.items()}
        click.echo(json.dumps(found, indent=2))
        return
    rows = [(name, ", ".join(each.papers), each.summary) for name, each in PRESETS.items()]
    print_table(("PRESET", "ARXIV", "WHAT IT IS"), rows, empty="")
    click.echo("use one: skyscale runs create --set algorithm.name=dapo; its values: skyscale algorithms show dapo")


@algorithms.command()
@click.option("--json", "as_json", is_flag=True, help="Print the resolved form alone, as JSON.")
@click.argument("name")
def show(as_json: bool, name: str) -> None:
    """Show the resolved form of a preset; values that differ from the default are marked."""
    from skyscale.wire.algorithms import PRESETS, Algorithm

    if name not in PRESETS:
        raise click.UsageError(f"there is no algorithm {name!r}; there are {', '.join(PRESETS)}")
    resolved = Algorithm.model_validate({"name": name}).model_dump(mode="json")
    if as_json:
        click.echo(json.dumps(resolved, indent=2))
        return
    click.secho(name, bold=True)
    click.echo(PRESETS[name].summary)
    click.echo("papers: " + ", ".join(f"https://arxiv.org/abs/{paper}" for paper in PRESETS[name].papers) + "\n")
    default = Algorithm().model_dump(mode="json")
    for field, value in resolved.items():
        shown = "by model size" if field == "learning_rate" and value is None else json.dumps(value)
        mark = "" if field == "name" or value == default[field] else f"   (default: {json.dumps(default[field])})"
        click.echo(f"  {field:<20} {click.style(shown, fg='cyan' if mark else None)}{mark}")
