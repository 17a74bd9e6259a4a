"""`skyscale serve`: the control plane in this process, until it is told to stop."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyscale.errors import Unavailable

if TYPE_CHECKING:
    from pydantic import ValidationError

    from skyscale.settings import Settings

CANNOT_LISTEN = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)


@click.command()
@click.option("--host", help="Address to listen on; 127.0.0.1 by default (HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 8080 by default, 0 takes a free one (PORT).")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Where everything is kept.")
@click.option("--insecure", is_flag=True, default=None, help="Listen beyond loopback without a token.")
def serve(**flags: object) -> None:
    """Run the control plane. Everything it keeps lies in its data folder (.skyscale)."""
    settings = read_settings({name: value for name, value in flags.items() if value is not None})
    run(settings, lambda url: announce(url, settings))


def run(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until told to stop. Raises Unavailable without a dependency, a folder to write to or a free address."""
    try:
        from skyscale.api.serve import run_server
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("skyscale"):
            raise
        raise Unavailable(
            f"the control plane needs {error.name}, which is not installed",
            code="extra_missing",
            hint="pip install 'skyscale[server]'",
        ) from error
    make_folder(settings.data_dir)
    try:
        run_server(settings, on_ready=on_ready)
    except OSError as error:
        raise cannot_listen(error, settings.host, settings.port) from error


def make_folder(folder: Path) -> None:
    """Make the data folder. Raises Unavailable when nothing can be kept there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        why = None if os.access(folder, os.W_OK | os.X_OK) else "it may not be written"
    except OSError as error:
        why = error.strerror or str(error)
    if why is not None:
        raise Unavailable(
            f"nothing can be kept in {folder}: {why}",
            code="data_folder",
            hint="choose another --data-dir (SKYSCALE_DATA_DIR), or let this user write there",
        )


def cannot_listen(error: OSError, host: str, port: int) -> OSError | Unavailable:
    """What to raise instead of an OSError of a server: the same, unless the address is at fault."""
    if isinstance(error, socket.gaierror):
        code, hint = "address_unknown", "choose another --host: an address of this machine"
    elif error.errno in CANNOT_LISTEN:
        code, hint = "address_in_use", "choose another --port (0 takes a free one), or stop what listens there"
    else:
        return error
    return Unavailable(f"cannot listen on {host}:{port}: {error.strerror or error}", code=code, hint=hint)


def read_settings(flags: dict[str, object]) -> Settings:
    """The environment's settings with these replaced. Raises UsageError for what cannot work."""
    from pydantic import ValidationError

    from skyscale.settings import Settings

    try:
        return Settings(**flags)  # pyright: ignore[reportArgumentType] - values are checked there
    except ValidationError as error:
        raise click.UsageError(faults(error)) from error


def faults(error: ValidationError) -> str:
    """What is wrong with the environment or the flags, each fault with its variable's or flag's name."""
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg']}".removeprefix(": ").removeprefix("Value error, ")
        for each in error.errors()
    )


def announce(url: str, settings: Settings) -> None:
    """Say where everything is."""
    click.echo(f"Skyscale is ready at {click.style(url, bold=True)}")
    click.echo(f"  API reference  {url}/docs")
    click.echo(f"  data folder    {settings.data_dir.absolute()}")
    click.echo("Start a run with `skyscale runs create --watch`; Ctrl-C stops the control plane and its jobs.")
