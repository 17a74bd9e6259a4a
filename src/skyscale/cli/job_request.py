"""From a template and flags to a `TrainingJobCreate`; flags win."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from skyscale.cli.session import connected

OPTIONS = (
    click.option("--template", help="Begin from one of `skyscale templates list`."),
    click.option("--job-id", help="`job-...`; the same command again is then the same job."),
    click.option("--image", "docker_image", help="Container image, at providers that run images."),
    click.option("--gpu-model", help="`any`, `a100`, or several like `a100:2`; none by default."),
    click.option("--provider", help="Where it runs; the first of GPU_PROVIDER_ORDER by default."),
    click.option(
        "--capacity", type=click.Choice(["on_demand", "preemptible"]), help="What the provider gives if unset."
    ),
    click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="A variable; may be repeated."),
    click.option("--timeout-s", type=click.FloatRange(0, 604800, min_open=True), help="A day by default."),
    click.option("--max-attempts", type=click.IntRange(1, 10), help="1 by default."),
    click.option("--max-cost-usd", type=click.FloatRange(0, min_open=True), help="Stop it before it costs more."),
    click.argument("command", nargs=-1),
)


def submit_options(function: Callable[..., int]) -> Callable[..., int]:
    """Flags of `skyscale jobs submit`, given to `function` as `body`."""

    @functools.wraps(function)
    def with_body(*, template: str | None, variables: tuple[str, ...], command: tuple[str, ...], **rest: Any) -> int:
        names = ("job_id", "docker_image", "gpu_model", "provider", "capacity", "timeout_s", "max_attempts")
        flags = {name: rest.pop(name) for name in (*names, "max_cost_usd")}
        body = _template(rest["url"], template) if template else {}
        body |= {name: value for name, value in flags.items() if value is not None}
        body |= {"command": list(command)} if command else {}
        body["env_vars"] = body.get("env_vars", {}) | _variables(variables)
        return function(body=_checked(body), **rest)

    wrapped: Any = with_body
    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _template(url: str, name: str) -> dict[str, Any]:
    with connected(url) as client:
        known = {each.name: each for each in client.templates().templates}
    if name not in known:
        raise click.UsageError(f"--template: there is no {name!r}; there are: {', '.join(known)}")
    return known[name].body.model_dump(mode="json")


def _variables(given: tuple[str, ...]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    if bad := [name for name, equals, _ in pairs if not equals or not name]:
        raise click.UsageError(f"--env wants NAME=VALUE, not {bad[0]!r}")
    return {name: value for name, _, value in pairs}


def _checked(body: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from skyscale.wire.jobs import TrainingJobCreate

    if not body.get("command") and not body.get("docker_image"):
        raise click.UsageError("give a COMMAND, an --image, or a --template")
    try:
        return TrainingJobCreate.model_validate(body)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise click.UsageError("this job cannot be created:\n" + "\n".join(lines)) from error
