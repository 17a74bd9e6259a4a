"""`skyscale eval MODEL`: a run that only evaluates, and its numbers as a table or as JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import click

from skyscale.cli.session import connected, json_option, print_json, print_table, url_option

if TYPE_CHECKING:
    from skyscale.sdk.client import Client
    from skyscale.wire.runs import EvaluationResult, EvaluationSlice, RunCreate, Sampling

CHECKPOINT = re.compile(r"(rl-[a-z0-9][a-z0-9-]{2,47})(?:@(best|newest|\d{1,9}))?")


@click.command()
@url_option
@json_option
@click.option("--problem-set", default="embedded", show_default=True, help="Its held-out problems are played.")
@click.option("--num-problems", type=click.IntRange(1, 10000), default=64, show_default=True)
@click.option("--k", "ks", type=click.IntRange(1, 64), multiple=True, help="Report pass@k; may be given several times.")
@click.option("--samples", type=click.IntRange(1, 64), help="Samples per problem; the largest k, or 4, by default.")
@click.option("--temperature", type=float, default=1.0, show_default=True)
@click.option("--max-new-tokens", type=int, help="Tokens per sample; the default depends on the model.")
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses the problems and the samples.")
@click.option("--provider", default="auto", show_default=True)
@click.option("--gpu-model", default="cpu", show_default=True)
@click.option("--timeout", "timeout_s", type=float, default=3600.0, show_default=True, help="Seconds to wait at most.")
@click.argument("model")
def evaluate(
    url: str,
    as_json: bool,
    model: str,
    problem_set: str,
    ks: tuple[int, ...],
    samples: int | None,
    timeout_s: float,
    **options: object,
) -> int:
    """Measure MODEL on held-out problems: pass@1 and pass@k with 95 % intervals, by difficulty.

    MODEL is skyscale/starter, a Hugging Face id, a local folder, or a run's checkpoint: RUN, RUN@best or RUN@VERSION.
    """
    from skyscale.cli.live.watch import wait_for_end

    wanted = samples or max(ks, default=4)
    with connected(url, retry_for_s=30.0) as client:
        base_model, sampling = _resolve(client, model)
        request = _request(base_model, problem_set, ks, wanted, sampling, options)
        run_id = client.create_run(request).run_id
        click.echo(f"evaluating {model}: {run_id}", err=True)
        view = wait_for_end(client, run_id, timeout_s=timeout_s)
    if view.status != "completed" or not view.evaluations:
        click.echo(f"{click.style('failed:', fg='red', bold=True)} {view.reason or view.status}", err=True)
        return 1
    _print(model, run_id, view.evaluations[0], as_json=as_json)
    return 0


def _request(
    base_model: str,
    problem_set: str,
    ks: tuple[int, ...],
    samples: int,
    sampling: Sampling | None,
    options: dict[str, object],
) -> RunCreate:
    from pydantic import ValidationError

    from skyscale.wire.runs import RunCreate

    tokens = options.pop("max_new_tokens") or (sampling.max_new_tokens if sampling is not None else None)
    evaluation = {name: options.pop(name) for name in ("num_problems", "temperature")}
    body = options | {
        "mode": "evaluate",
        "base_model": base_model,
        "problem_set": problem_set,
        "sampling": {"max_new_tokens": tokens},
        "evaluation": evaluation | {"samples_per_problem": samples, "ks": list(ks)},
    }
    try:
        return RunCreate.model_validate(body)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise click.UsageError("this cannot be evaluated:\n" + "\n".join(lines)) from error


def _resolve(client: Client, model: str) -> tuple[str, Sampling | None]:
    """The base model that MODEL names and, for a checkpoint, how its run sampled."""
    found = CHECKPOINT.fullmatch(model)
    if found is None:
        return model, None
    run_id, which = found[1], found[2] or "newest"
    view = client.get_run(run_id)
    if which == "best" and view.best_version is None:
        raise click.UsageError(f"{run_id} has no evaluated version yet")
    uri = view.best_checkpoint if which == "best" else view.checkpoint
    if which.isdigit():
        versions = client.policies(run_id, after=max(0, int(which) - 1), limit=1).policies
        if int(which) and (not versions or versions[0].version != int(which)):
            raise click.UsageError(f"{run_id} has published no version {which}; its newest is {view.policy_version}")
        uri = versions[0].manifest_uri if int(which) else None
    if uri is None:
        return view.spec.base_model, view.spec.sampling
    return unquote(urlsplit(uri).path).removesuffix("/manifest.json"), view.spec.sampling


def _print(model: str, run_id: str, result: EvaluationResult, *, as_json: bool) -> None:
    if as_json:
        told: dict[str, object] = {"model": model, "run_id": run_id}
        print_json(told | result.model_dump(mode="json", exclude={"version"}))
        return
    columns = ("PROBLEMS", "NUMBER", "EPISODES", "REWARD", *(f"PASS@{each.k} (95 %)" for each in result.pass_at))
    rows = [_row("all", result), *(_row(part.difficulty, part) for part in result.by_difficulty)]
    print_table(columns, rows, empty="")


def _row(name: str, part: EvaluationResult | EvaluationSlice) -> tuple[object, ...]:
    passes = [f"{each.value:.3f} [{each.low:.3f}, {each.high:.3f}]" for each in part.pass_at]
    return (name, part.num_problems, part.num_episodes, f"{part.reward:.3f}", *passes)
