"""`skyscale doctor`: which layers isolate unknown code on this host, by trying, and what to do about the rest."""

from __future__ import annotations

import asyncio
import platform
from typing import TYPE_CHECKING

import click

from skyscale.cli.session import print_json, print_table
from skyscale.sandboxes.layers import is_optional, missing, missing_needed

if TYPE_CHECKING:
    from skyscale.cli.doctor_host import Fact
    from skyscale.sandboxes.sandbox import SandboxBackend

USER_NAMESPACES = (
    "Allow user namespaces: `sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000`; "
    "on Ubuntu 24.04 also `kernel.apparmor_restrict_unprivileged_userns=0`; in a container "
    "`--security-opt seccomp=unconfined`."
)
ADVICE = {
    "namespace": USER_NAMESPACES,
    "private": USER_NAMESPACES,
    "landlock": "Optional: needs Linux 5.13 and `landlock` in the boot parameter `lsm=`.",
    "own uid": "Optional: start as root (it drops it), or give this account subordinate ids in /etc/subuid.",
    "cgroup": "Optional: delegate a cgroup (`systemd-run --user -p Delegate=yes`, or `Delegate=yes` in the unit).",
    "seccomp": "Needs CONFIG_SECCOMP_FILTER on x86_64 or aarch64; every distribution's kernel has it.",
    "capabilities": "Should never be missing: look for a security module that denies `capset`.",
    "verified": "Should never fail: the kernel contradicts what the sandbox said of itself. Do not run unknown code.",
}
DEFAULT_ADVICE = "Look at the reason; a container's own restrictions are the usual cause."
START_TIMEOUT_S = 120.0


@click.command()
@click.option("--backend", "names", multiple=True, help="Only this one; repeat for more. All by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def doctor(names: tuple[str, ...], as_json: bool) -> int:
    """Say what isolates untrusted code on this host and what else works here, and what to do about the rest.

    Ends with exit code 1 when the process backend, which is the default, lacks a layer that it needs.
    """
    from dataclasses import asdict

    from skyscale.cli.doctor_host import facts
    from skyscale.sandboxes.loading import BACKENDS

    unknown = sorted(set(names) - set(BACKENDS))
    if unknown:
        raise click.UsageError(f"no backend {unknown[0]!r}; there are: {', '.join(sorted(BACKENDS))}")
    found = {name: asyncio.run(_examine(name)) for name in names or BACKENDS}
    if as_json:
        host = [asdict(fact) for fact in facts()]
        print_json({"kernel": platform.release(), "backends": found, "host": host})
    else:
        _print(found)
        _print_facts(facts())
    return int(any(not _is_fit(layers) for name, layers in found.items() if name == "process"))


async def _examine(name: str) -> dict[str, str]:
    """Each layer of a backend, by trying; a backend that cannot start has one line that says why."""
    from skyscale.errors import SandboxFailure
    from skyscale.sandboxes.loading import load_backend

    try:
        backend = load_backend(name, slots=1, allow_weak=True)
        return await _started(backend)
    except (SandboxFailure, TimeoutError) as error:
        return {"available": f"no: {error}"}


async def _started(backend: SandboxBackend) -> dict[str, str]:
    async with asyncio.timeout(START_TIMEOUT_S), backend:
        return {"available": "yes", **backend.report()}


def _is_fit(layers: dict[str, str]) -> bool:
    return all(value == "yes" for name, value in layers.items() if not is_optional(name))


def advice(layer: str) -> str:
    """What to do about a missing layer."""
    return next((text for word, text in ADVICE.items() if word in layer), DEFAULT_ADVICE)


def _print_facts(host: list[Fact]) -> None:
    click.secho("\nhost", bold=True)
    print_table(("WHAT", "SAYS", "ADVICE"), [(each.name, each.says, each.advice) for each in host], empty="nothing")


def _print(found: dict[str, dict[str, str]]) -> None:
    click.echo(f"Linux {platform.release()} on {platform.machine()}")
    for name, layers in found.items():
        click.secho(f"\n{name}", bold=True)
        print_table(("LAYER", "IN FORCE"), layers.items(), empty="no layers")
        for layer in missing(layers):
            if layer != "available":
                click.echo(f"  {click.style(layer, fg='yellow')}: {advice(layer)}")
        if _is_fit(layers):
            click.secho("  fit for unknown code", fg="green")
        elif layers.get("available") != "yes":
            click.secho("  not available on this host", fg="yellow")
        else:
            click.secho(f"  not fit for unknown code on this host: {', '.join(missing_needed(layers))}", fg="red")
            click.echo(
                "  `skyscale sandboxd` refuses to start here, and `skyscale serve` beyond loopback; on loopback it"
            )
            click.echo("  goes on and says so in each run's events (SKYSCALE_SANDBOX_MISSING_LAYERS=refuse|warn).")
