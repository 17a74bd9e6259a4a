"""`skyscale functions ...`: what is deployed, and its endpoints."""

from __future__ import annotations

import click

from skyscale.cli.session import connected, json_option, print_json, print_table, url_option


@click.group()
def functions() -> None:
    """Look at deployed functions and endpoints, and delete them."""


@functions.command(name="list")
@url_option
@json_option
@click.option("--cursor", help="`next_cursor` of the page before.")
def list_(url: str, as_json: bool, cursor: str | None) -> None:
    """List functions, by name."""
    with connected(url) as client:
        page = client.functions.list(cursor, 100)
    if as_json:
        print_json(page)
        return
    rows = [
        (each.name, each.version, each.spec.memory, f"{each.spec.timeout:g}", each.num_warm, _place(each.spec.gpu))
        for each in page.functions
    ]
    columns = ("FUNCTION", "VERSION", "MB", "TIMEOUT (s)", "READY", "RUNS IN")
    print_table(columns, rows, empty="no functions yet: `skyscale init NAME` begins one")
    if page.next_cursor:
        click.echo(f"more: --cursor {page.next_cursor}")


@functions.command()
@url_option
@click.argument("name")
def show(url: str, name: str) -> None:
    """Show a function and its versions, as JSON."""
    with connected(url) as client:
        view, versions = client.functions.get(name), client.functions.versions(name)
    print_json({"function": view.model_dump(mode="json"), **versions.model_dump(mode="json")})


@functions.command()
@url_option
@click.argument("name")
def delete(url: str, name: str) -> None:
    """Delete a function with its versions, and the endpoint that calls it."""
    with connected(url) as client:
        cursor: str | None = None
        while True:
            page = client.functions.endpoints(cursor, 200)
            found = next((each for each in page.deployments if each.slug == name), None)
            cursor = page.next_cursor
            if found is not None or cursor is None:
                break
        if found is not None:
            client.functions.delete_endpoint(found.id)
        else:
            client.functions.delete(name)


@functions.command()
@url_option
@json_option
def endpoints(url: str, as_json: bool) -> None:
    """List endpoints with their addresses, newest first."""
    with connected(url) as client:
        page = client.functions.endpoints(None, 200)
    if as_json:
        print_json(page)
        return
    rows = [
        (each.slug, each.web_method, each.url, "anyone" if each.is_public else "operators", each.last_request_at)
        for each in page.deployments
    ]
    print_table(("ENDPOINT", "METHOD", "ADDRESS", "CALLED BY", "LAST CALL"), rows, empty="no endpoints")


def _place(gpu: object) -> str:
    return "a sandbox" if gpu is None else f"a job on {getattr(gpu, 'provider', '')}"
