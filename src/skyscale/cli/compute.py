"""`skyscale gpus`, `templates`, `replicas`, `status`: what there is to run on, and how the installation is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from skyscale.cli.session import connected, json_option, print_json, print_table, url_option

if TYPE_CHECKING:
    from skyscale.wire.costs import Spending
    from skyscale.wire.replicas import ReplicaList, ReplicaView


@click.command()
@url_option
@json_option
def gpus(url: str, as_json: bool) -> None:
    """List accelerators by provider, and what each provider still needs."""
    with connected(url) as client:
        found = client.gpus()
    if as_json:
        print_json(found)
        return
    states = [
        (each.name, each.order or "", "yes" if each.is_ready else "no", each.missing or each.trouble or "")
        for each in found.providers
    ]
    print_table(("PROVIDER", "ORDER", "READY", "NEEDS"), states, empty="no providers")
    rows = [
        (each.gpu_model, each.provider, each.name, _or(each.memory_gb, " GB"),
         "" if each.usd_per_hour is None else f"${each.usd_per_hour:.2f}", _or(each.available), _or(each.total))
        for each in found.offers
    ]  # fmt: skip
    columns = ("GPU", "PROVIDER", "ITS NAME", "MEMORY", "AN HOUR", "FREE", "TOTAL")
    print_table(columns, rows, empty="no provider that is ready tells of an accelerator")


@click.group()
def templates() -> None:
    """Look at jobs to begin from; `skyscale jobs submit --template NAME` runs one."""


@templates.command(name="list")
@url_option
@json_option
def list_templates(url: str, as_json: bool) -> None:
    """List templates."""
    with connected(url) as client:
        found = client.templates()
    if as_json:
        print_json(found)
        return
    rows = [(each.name, each.body.gpu_model, each.summary) for each in found.templates]
    print_table(("TEMPLATE", "GPU", "WHAT IT IS"), rows, empty="no templates")


@templates.command(name="show")
@url_option
@click.argument("name")
def show_template(url: str, name: str) -> None:
    """Show the request of a template, as JSON."""
    with connected(url) as client:
        known = {each.name: each for each in client.templates().templates}
    if name not in known:
        raise click.UsageError(f"there is no template {name!r}; there are: {', '.join(known)}")
    print_json(known[name].body)


@click.command()
@url_option
@json_option
def replicas(url: str, as_json: bool) -> None:
    """List the control planes on this database, and which of them leads."""
    with connected(url) as client:
        found = client.replicas()
    if as_json:
        print_json(found)
    else:
        _print_replicas(found)


@click.command()
@url_option
@json_option
def status(url: str, as_json: bool) -> None:
    """Show how the control plane is: version, replicas and their leader, and what everything costs."""
    with connected(url) as client:
        health, found, spent = client.status(), client.replicas(), client.costs()
    if as_json:
        parts = {"health": health, "replicas": found, "costs": spent}
        print_json({name: part.model_dump(mode="json") for name, part in parts.items()})
        return
    click.echo(f"Skyscale {health.version}, database {health.database}, {url}")
    _print_replicas(found)
    print_table(("", "COUNT", "GPU h", "CPU h", "COST", "AN HOUR NOW"), _spent(spent), empty="")


def _spent(spent: Spending) -> Sequence[Sequence[object]]:
    lines = {"runs": spent.runs, "jobs": spent.jobs, "services": spent.services}
    rows = [
        (name, line.count, f"{line.gpu_s / 3600:.2f}", f"{line.cpu_s / 3600:.2f}", f"${line.usd:.2f}",
         f"${line.usd_per_hour:.2f}")
        for name, line in lines.items()
    ]  # fmt: skip
    return [*rows, ("together", "", "", "", f"${spent.usd:.2f}", f"${spent.usd_per_hour:.2f}")]


def _print_replicas(found: ReplicaList) -> None:
    rows = [
        (each.replica_id, each.url, _role(each), f"{each.started_at:%Y-%m-%d %H:%M:%S}",
         "its process lives" if each.last_beat_at is None and each.is_alive else _time(each.last_beat_at))
        for each in found.replicas
    ]  # fmt: skip
    columns = ("REPLICA", "ADDRESS", "DOES", "STARTED (UTC)", "LAST SIGN OF LIFE")
    print_table(columns, rows, empty="no control plane has joined")


def _role(each: ReplicaView) -> str:
    if not each.is_alive:
        return "is silent"
    return f"leads since {_time(each.leads_since)}" if each.is_leader else "stands by"


def _time(when: object) -> str:
    return "" if when is None else f"{when:%Y-%m-%d %H:%M:%S}"


def _or(number: int | None, unit: str = "") -> str:
    return "" if number is None else f"{number}{unit}"
