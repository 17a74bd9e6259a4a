"""What commands share: the address of the control plane, the client, and printing for a person or for a pipe."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from skyscale.errors import Unauthorized, Unavailable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from skyscale.sdk.client import Client

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_URL = "http://127.0.0.1:8080"


def url_option(command: F) -> F:
    """`--url`: where the control plane is."""
    return click.option(
        "--url", envvar="SKYSCALE_URL", default=DEFAULT_URL, show_default=True, show_envvar=True,
        help="The control plane's address.",
    )(command)  # fmt: skip


def json_option(command: F) -> F:
    """`--json`: for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


@contextmanager
def connected(url: str, *, retry_for_s: float = 0.0) -> Generator[Client]:
    """A client of the control plane at `url`; without one there, the error says how to start it."""
    from skyscale.sdk.client import Client
    from skyscale.sdk.credentials import credential_for

    for address in url.split(","):
        if not re.match(r"https?://[^/]", address.strip()):
            raise click.UsageError(f"--url must begin with http:// or https:// and name a host, not {address!r}")
    _refuse_empty_arguments()
    with Client(url, token=credential_for(url), retry_for_s=retry_for_s) as client:
        try:
            yield client
        except Unauthorized as error:
            if error.code == "unauthorized":
                error.hint = (
                    "Make an API key in the dashboard's settings; `skyscale login` or SKYSCALE_API_KEY uses it."
                )
            raise
        except Unavailable as error:
            if error.code != "unreachable":
                raise
            raise Unavailable(
                f"no control plane at {url}", code=error.code, hint="start one with `skyscale serve`, or set --url"
            ) from error


def _refuse_empty_arguments() -> None:
    """An id that is empty, as that of a shell's variable that is not set, would ask for the list instead."""
    context = click.get_current_context(silent=True)
    if context is None:
        return
    for each in context.command.params:
        if isinstance(each, click.Argument) and context.params.get(each.name or "") == "":
            raise click.UsageError(f"{each.human_readable_name} is empty: is a variable of the shell not set?")


def print_json(value: BaseModel | Sequence[BaseModel] | dict[str, object], *, is_line: bool = False) -> None:
    """JSON on stdout: indented, or on one line."""
    if not isinstance(value, dict):
        dumped: object = (
            [each.model_dump(mode="json") for each in value]
            if isinstance(value, Sequence)
            else value.model_dump(mode="json")
        )
    else:
        dumped = value
    click.echo(json.dumps(dumped, indent=None if is_line else 2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table on stdout; full width when piped, so that nothing is cut from what a program reads."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table if table.row_count else empty)
