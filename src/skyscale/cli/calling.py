"""`skyscale invoke` and `skyscale logs`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TextIO

import click

from skyscale.cli.session import connected, json_option, print_json, url_option

if TYPE_CHECKING:
    from skyscale.sdk.client import Client


@click.command()
@url_option
@json_option
@click.option("--input", "text", help="The input, as JSON.")
@click.option("--input-file", type=click.File(encoding="utf-8"), help="The input from a file; - is standard input.")
@click.option("--version", "version", help="A version other than the current one.")
@click.option("--async", "is_async", is_flag=True, help="Print the execution's id and go on.")
@click.argument("name")
def invoke(
    url: str, as_json: bool, text: str | None, input_file: TextIO | None, version: str | None, is_async: bool, name: str
) -> int:
    """Call a function and print what it returns, as JSON. Ends with 1 when it failed.

    For a function of an app an object is its keyword arguments, a list its positional ones.
    """
    from pydantic import ValidationError

    from skyscale.wire.functions import Invoke

    if text is not None and input_file is not None:
        raise click.UsageError("give --input or --input-file, not both")
    value = _json(input_file.read() if input_file is not None else text)
    with connected(url) as client:
        if client.functions.get(name).spec.style == "arguments":
            value = _arguments(value)
        try:
            body = Invoke(input=value, sync=not is_async, version=version)
        except ValidationError as error:
            raise click.UsageError(f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}") from error
        view = client.functions.invoke(name, body)
        printed = None if is_async or as_json else client.functions.logs(view.execution_id)
    if as_json:
        print_json(view)
        return int(view.status not in ("completed", "queued", "running"))
    if printed is None or view.status in ("queued", "running"):
        click.echo(view.execution_id)
        return 0
    click.echo(printed.stdout, nl=False, err=True)
    click.echo(printed.stderr, nl=False, err=True)
    if view.status == "completed":
        click.echo(json.dumps(view.output, ensure_ascii=False))
        return 0
    click.echo(f"{click.style(view.status, fg='red', bold=True)}: {view.error_message}", err=True)
    return 1


@click.command()
@url_option
@click.option("--limit", type=click.IntRange(1, 50), default=5, show_default=True, help="Newest calls of a function.")
@click.argument("name")
def logs(url: str, limit: int, name: str) -> None:
    """Show what calls printed and how they ended: of one execution (fx-...), or the newest of function NAME."""
    with connected(url) as client:
        if name.startswith("fx-"):
            _show(client, name)
            return
        client.functions.get(name)  # an unknown name is an error, not an empty list
        for view in reversed(client.functions.executions(name, limit=limit).executions):
            _show(client, view.execution_id)


def _show(client: Client, execution_id: str) -> None:
    view, printed = client.functions.execution(execution_id), client.functions.logs(execution_id)
    took = "" if view.duration_ms is None else f"  {view.duration_ms:.0f} ms"
    click.secho(f"{view.execution_id}  {view.created_at:%Y-%m-%d %H:%M:%S}  {view.status.value}{took}", bold=True)
    for text in (printed.stdout, printed.stderr):
        click.echo(text, nl=bool(text) and not text.endswith("\n"))
    if view.error_message:
        click.echo(view.error_message)


def _arguments(value: Any) -> Any:
    """The input of a function that takes arguments."""
    if value is None or (isinstance(value, dict) and value.keys() <= {"args", "kwargs", "init"}):
        return value
    if isinstance(value, list):
        return {"args": value}
    if isinstance(value, dict):
        return {"kwargs": value}
    raise click.UsageError("this function takes arguments: give an object or a list")


def _json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise click.UsageError(f"the input is not JSON: {error}") from error
