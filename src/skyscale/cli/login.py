"""`skyscale login`, `logout`, `whoami`: the API key that commands and scripts of this user send to one address."""

from __future__ import annotations

import sys

import click

from skyscale.cli.session import connected, json_option, print_json, url_option
from skyscale.errors import Unauthorized


@click.command()
@url_option
@click.option("--key-stdin", is_flag=True, help="Read the key from stdin instead of asking for it.")
def login(url: str, key_stdin: bool) -> None:
    """Keep an API key for the control plane at --url, after trying it."""
    from skyscale.sdk import key_calls as calls
    from skyscale.sdk.client import Client
    from skyscale.sdk.credentials import keep

    secret = (sys.stdin.readline() if key_stdin else click.prompt("API key", hide_input=True)).strip()
    if not secret:
        raise click.UsageError("there is no key: make one with `skyscale keys create`, or in the dashboard's settings")
    with Client(url, secret, retry_for_s=0.0) as client:
        who = client.transport.send(calls.whoami())
    path = keep(url, secret)
    scope = who.scope.value if who.scope else who.kind
    click.echo(f"Logged in to {url} as {who.user or who.kind} ({scope}); the key is kept in {path}")


@click.command()
@url_option
@click.option("--revoke", is_flag=True, help="End the key too, so that copies of it open nothing either.")
def logout(url: str, revoke: bool) -> None:
    """Forget the API key that is kept for --url."""
    from skyscale.sdk import key_calls as calls
    from skyscale.sdk.credentials import forget

    if revoke:
        with connected(url) as client:
            if key_id := client.transport.send(calls.whoami()).key_id:
                client.transport.send(calls.revoke(key_id))
    click.echo(f"Logged out of {url}" if forget(url) else f"No key was kept for {url}")


@click.command()
@url_option
@json_option
def whoami(url: str, as_json: bool) -> int | None:
    """Say who the control plane takes these commands for."""
    from skyscale.sdk import key_calls as calls

    with connected(url) as client:
        try:
            who = client.transport.send(calls.whoami())
        except Unauthorized as error:
            error.hint = f"{error.hint} `skyscale login` keeps another key."
            raise
    if as_json:
        print_json(who)
        return None
    click.echo(f"{who.user or who.kind} ({who.scope.value if who.scope else 'no scope'})")
    return None
