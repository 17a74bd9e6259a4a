"""`skyscale keys ...`: keys for programs. The secret is printed once, to stdout alone, so that it can be piped."""

from __future__ import annotations

import click

from skyscale.cli.session import connected, json_option, print_json, print_table, url_option


@click.group()
def keys() -> None:
    """Make and revoke API keys."""


@keys.command()
@url_option
@json_option
@click.option("--scope", type=click.Choice(["read", "operate", "admin"]), default="read", show_default=True)
@click.option("--days", type=click.FloatRange(0, 3660, min_open=True), default=90, show_default=True, help="Its life.")
@click.option("--forever", is_flag=True, help="It does not expire.")
@click.argument("name")
def create(url: str, as_json: bool, scope: str, days: float, forever: bool, name: str) -> None:
    """Make a key called NAME and print it, once."""
    from skyscale.sdk import key_calls as calls
    from skyscale.wire.keys import ApiKeyCreate, Scope

    if not 1 <= len(name) <= 80:
        raise click.UsageError("NAME must have 1 to 80 characters")
    body = ApiKeyCreate(name=name, scope=Scope(scope), expires_in_days=None if forever else days)
    with connected(url) as client:
        made = client.transport.send(calls.create(body))
    if as_json:
        print_json(made)
        return
    click.echo(made.secret)
    expiry = "does not expire" if made.key.expires_at is None else f"expires {made.key.expires_at:%Y-%m-%d %H:%M} UTC"
    click.echo(f"{made.key.key_id} ({scope}) {expiry}. It is not shown again; use it as SKYSCALE_API_KEY.", err=True)


@keys.command(name="list")
@url_option
@json_option
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--cursor", help="`next_cursor` of the page before.")
def list_(url: str, as_json: bool, limit: int, cursor: str | None) -> None:
    """List keys, newest first; never their secrets."""
    from skyscale.sdk import key_calls as calls

    with connected(url) as client:
        page = client.transport.send(calls.listing(cursor, limit))
    if as_json:
        print_json(page)
        return
    rows = [
        (
            key.key_id, key.name, key.scope.value, f"{key.start}...", key.owner,
            f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at
            else "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M}",
            "never" if key.last_used_at is None else f"{key.last_used_at:%Y-%m-%d %H:%M}",
        )
        for key in page.keys
    ]  # fmt: skip
    columns = ("KEY", "NAME", "SCOPE", "STARTS", "OWNER", "EXPIRES (UTC)", "LAST USED")
    print_table(columns, rows, empty="no keys yet: `skyscale keys create NAME` makes one")
    if page.next_cursor:
        click.echo(f"more: --cursor {page.next_cursor}")


@keys.command()
@url_option
@click.argument("key_id")
def revoke(url: str, key_id: str) -> None:
    """End a key: it opens nothing any more, at once."""
    from skyscale.sdk import key_calls as calls

    with connected(url) as client:
        client.transport.send(calls.revoke(key_id))
    click.echo(f"{key_id} is revoked")
