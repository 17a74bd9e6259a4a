"""`skyscale services ...`: containers with an HTTP port at Railway, which cost money until they are ended."""

from __future__ import annotations

import re

import click

from skyscale.cli.session import connected, json_option, print_json, print_table, url_option

NAME = re.compile(r"[a-z][a-z0-9-]{0,22}[a-z0-9]")


@click.group()
def services() -> None:
    """Deploy container services, call them, delete them."""


@services.command()
@url_option
@json_option
def templates(url: str, as_json: bool) -> None:
    """List what comes along."""
    from skyscale.sdk import service_calls as calls

    with connected(url) as client:
        found = client.transport.send(calls.templates())
    if as_json:
        print_json(found)
        return
    rows = [(each.name, each.description, ", ".join(each.variables)) for each in found.templates]
    print_table(("template", "does", "variables"), rows, empty="No templates.")
    if not found.is_configured:
        click.echo("This control plane cannot deploy yet: it has no RAILWAY_TOKEN.", err=True)


@services.command()
@url_option
@json_option
@click.option("--template", help="One of `skyscale services templates`.")
@click.option("--image", help="An image of your own, instead.")
@click.option("--command", help="Replaces what the image starts.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Where the image listens.")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="A variable; may be repeated.")
@click.option("--vcpus", type=click.FloatRange(0, 32, min_open=True), default=1.0, show_default=True)
@click.option("--memory-gb", type=click.FloatRange(0, 32, min_open=True), default=0.5, show_default=True)
@click.option("--max-cost-usd", type=click.FloatRange(0, min_open=True), help="Stop it before it costs more.")
@click.argument("name")
def deploy(
    url: str, as_json: bool, template: str | None, image: str | None, command: str | None, port: int,
    variables: tuple[str, ...], vcpus: float, memory_gb: float, max_cost_usd: float | None, name: str,
) -> None:  # fmt: skip
    """Deploy a service called NAME."""
    from skyscale.sdk import service_calls as calls
    from skyscale.wire.services import ServiceDeploy

    if not NAME.fullmatch(name):
        raise click.UsageError("NAME: 2 to 24 of a-z, 0-9 and -, a letter first")
    if (template is None) == (image is None):
        raise click.UsageError("give one of --template and --image")
    if template is not None and command is not None:
        raise click.UsageError("--command: a template brings its own")
    pairs = [variable.partition("=") for variable in variables]
    if bad := [before for before, equals, _ in pairs if not equals or not re.fullmatch(r"[A-Za-z_]\w{0,99}", before)]:
        raise click.UsageError(f"--env wants NAME=VALUE, not {bad[0]!r}")
    body = ServiceDeploy(
        name=name, template=template, image=image, command=command, port=port, vcpus=vcpus, memory_gb=memory_gb,
        max_cost_usd=max_cost_usd,
        env_vars={before: after for before, _, after in pairs},
    )  # fmt: skip
    with connected(url) as client:
        made = client.transport.send(calls.deploy(body))
    if as_json:
        print_json(made)
    else:
        click.echo(f"{made.name} is {made.status} at {made.url}; look with: skyscale services show {made.name}")


@services.command(name="list")
@url_option
@json_option
def list_(url: str, as_json: bool) -> None:
    """List services."""
    from skyscale.sdk import service_calls as calls

    with connected(url) as client:
        found = client.transport.send(calls.listing())
    if as_json:
        print_json(found)
        return
    rows = [(each.name, each.status, each.url, each.image) for each in found.services]
    print_table(("name", "status", "url", "image"), rows, empty="No services.")


@services.command()
@url_option
@click.argument("name")
def show(url: str, name: str) -> None:
    """Show a service as JSON."""
    from skyscale.sdk import service_calls as calls

    with connected(url) as client:
        print_json(client.transport.send(calls.show(name)))


@services.command()
@url_option
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.argument("name")
def logs(url: str, limit: int, name: str) -> None:
    """Print what a service wrote last."""
    from skyscale.sdk import service_calls as calls

    with connected(url) as client:
        for line in client.transport.send(calls.logs(name, limit)).lines:
            click.echo(f"{line.timestamp:%Y-%m-%d %H:%M:%S} {line.level:7} {line.message}")


@services.command()
@url_option
@click.option("--method", "-X", type=click.Choice(["GET", "POST", "PUT", "PATCH", "DELETE"]), help="POST with a body.")
@click.option("--body", "-d", help="What is sent.")
@click.argument("name")
@click.argument("path", default="/")
def call(url: str, method: str | None, body: str | None, name: str, path: str) -> None:
    """Send one request to a service, and print its answer; the exit code is 1 from status 400 on."""
    from skyscale.sdk import service_calls as calls
    from skyscale.wire.services import ServiceCall

    if not path.startswith("/"):
        raise click.UsageError("PATH begins with /")
    request = ServiceCall.model_validate({"method": method or ("POST" if body else "GET"), "path": path, "body": body})
    with connected(url) as client:
        called = client.transport.send(calls.call(name, request))
    click.echo(called.body)
    click.echo(f"{called.status_code} in {called.duration_ms:.0f} ms", err=True)
    if called.status_code >= 400:
        raise click.exceptions.Exit(1)


@services.command()
@url_option
@click.argument("name")
def stop(url: str, name: str) -> None:
    """End what runs; the service stays in the list."""
    from skyscale.sdk import service_calls as calls

    with connected(url) as client:
        client.transport.send(calls.stop(name))
    click.echo(f"{name} is stopped.")


@services.command()
@url_option
@click.argument("name")
def delete(url: str, name: str) -> None:
    """Delete a service with everything that it has."""
    from skyscale.sdk import service_calls as calls

    with connected(url) as client:
        client.transport.send(calls.delete(name))
    click.echo(f"{name} is deleted.")
