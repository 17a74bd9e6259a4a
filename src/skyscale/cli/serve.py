"""`skyscale serve`: the control plane in this process, until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyscale.errors import Unavailable

if TYPE_CHECKING:
    from skyscale.settings import Settings

# Event streams never end by themselves; a stopping server gives them this long.
GRACE_S = 2


@click.command()
@click.option("--host", help="Address to listen on; 127.0.0.1 by default (HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 8080 by default, 0 takes a free one (PORT).")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Where everything is kept.")
@click.option("--insecure", is_flag=True, default=None, help="Listen beyond loopback without a token.")
def serve(**flags: object) -> int:
    """Run the control plane. Everything it keeps lies in its data folder (.skyscale)."""
    settings = _settings({name: value for name, value in flags.items() if value is not None})
    listener = _listen(settings.host, settings.port)
    port: int = listener.getsockname()[1]
    with listener, asyncio.Runner(loop_factory=_fastest_loop()) as runner:
        return runner.run(_serve(settings.model_copy(update={"port": port}), listener))


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        from uvloop import new_event_loop
    except ModuleNotFoundError:
        return None  # it does not exist for every platform; asyncio's own loop serves as well, slower
    return new_event_loop


def _settings(flags: dict[str, object]) -> Settings:
    from pydantic import ValidationError

    from skyscale.settings import Settings

    try:
        return Settings(**flags)  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        raise click.UsageError(
            "; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors())
        ) from error


def _listen(host: str, port: int) -> socket.socket:
    """The listening socket, bound before anything starts: a taken port is an error and not a half-started app."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Unavailable(
            f"cannot listen on {host}:{port}: {error.strerror}", code="address_in_use",
            hint="choose another --port (0 takes a free one), or stop what listens there",
        ) from error  # fmt: skip
    return listener


async def _serve(settings: Settings, listener: socket.socket) -> int:
    try:
        import uvicorn

        from skyscale.api.app import create_app
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("skyscale"):
            raise
        raise Unavailable(
            f"the control plane needs {error.name}, which is not installed", code="extra_missing",
            hint="pip install 'skyscale[server]'",
        ) from error  # fmt: skip

    config = uvicorn.Config(
        create_app(settings), log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=30, server_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn offers a flag and no event
        await asyncio.sleep(0.02)
    if not serving.done():
        _announce(settings)
    await serving
    return 0 if server.started else 1


def _announce(settings: Settings) -> None:
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    click.echo(f"Skyscale is ready at {click.style(f'http://{shown}:{settings.port}', bold=True)}")
    click.echo(f"  API reference  http://{shown}:{settings.port}/docs")
    click.echo(f"  data folder    {settings.data_dir.absolute()}")
    click.echo("Start a run with `skyscale runs create --watch`; Ctrl-C stops the control plane and its jobs.")
