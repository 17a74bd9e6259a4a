"""`skyscale buffer ...`."""

import click

from skyscale.cli.session import connected, json_option, print_json, print_table, url_option


@click.group()
def buffer() -> None:
    """Look into a run's experience buffer."""


@buffer.command()
@url_option
@json_option
@click.argument("run_id")
def stats(url: str, as_json: bool, run_id: str) -> None:
    """Count trajectories by what became of them."""
    with connected(url) as client:
        found = client.buffer_stats(run_id)
    if as_json:
        print_json(found)
        return
    meanings = {name: field.description or "" for name, field in type(found).model_fields.items()}
    rows = [
        (name, value, " ".join(meanings[name].split()))
        for name, value in found.model_dump().items()
        if name != "run_id"
    ]
    print_table(("TRAJECTORIES", "NUMBER", "MEANING"), rows, empty="")
