"""`skyscale sandboxd`: a sandbox host in this process, until it is told to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from skyscale.cli.serve import cannot_listen, faults
from skyscale.errors import Unavailable

if TYPE_CHECKING:
    from skyscale.api.host.parts import HostParts
    from skyscale.settings import HostSettings


@click.command()
@click.option("--url", help="The control plane; http://127.0.0.1:8080 by default (SKYSCALE_URL).")
@click.option("--host", help="Address to listen on; 127.0.0.1 by default (HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 8090 by default, 0 takes a free one (PORT).")
@click.option("--public-url", help="Where the control plane reaches this host, if not there (SKYSCALE_HOST_URL).")
@click.option("--name", help="What people call it; the machine's name by default.")
@click.option("--data-dir", type=click.Path(file_okay=False), help="Marks its processes.")
@click.option("--backend", help="What isolates judged programs; process by default (SKYSCALE_SANDBOX_BACKEND).")
@click.option("--slots", "sandbox_slots", type=click.IntRange(1, 4096), help="Programs judged at once; one per core.")
@click.option("--missing-layers", type=click.Choice(["refuse", "warn"]), help="When isolation lacks a layer; refuse.")
def sandboxd(**flags: object) -> None:
    """Run untrusted code for a control plane: judge programs, hold interactive sandboxes.

    SKYSCALE_HOST_TOKEN, the same on both sides, lets them be different machines.
    """
    settings = _settings({name: value for name, value in flags.items() if value is not None})
    try:
        from skyscale.api.host.app import run_host
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("skyscale"):
            raise
        raise Unavailable(
            f"a sandbox host needs {error.name}, which is not installed",
            code="extra_missing",
            hint="pip install 'skyscale[server]'",
        ) from error
    try:
        run_host(settings, on_ready=lambda parts: _announce(parts, settings))
    except OSError as error:
        raise cannot_listen(error, settings.host, settings.port) from error


def _settings(flags: dict[str, object]) -> HostSettings:
    from pydantic import ValidationError

    from skyscale.settings import HostSettings

    try:
        return HostSettings(**flags)  # pyright: ignore[reportArgumentType] - values are checked there
    except ValidationError as error:
        raise click.UsageError(faults(error)) from error


def _announce(parts: HostParts, settings: HostSettings) -> None:
    from skyscale.sandboxes.layers import missing

    click.echo(f"Sandbox host {parts.host_id} is ready at {click.style(parts.url, bold=True)}")
    click.echo(f"  control plane  {settings.url}")
    lacking = missing(parts.judge.report())
    click.echo(f"  isolation      {settings.backend}" + (f", without {', '.join(lacking)}" if lacking else ""))
