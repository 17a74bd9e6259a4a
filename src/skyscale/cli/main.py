"""The door: `skyscale`. Expected trouble is one line with a hint and exit code 1, never a traceback."""

import os
import sys

import click

from skyscale import __version__
from skyscale.cli.lazy import LazyGroup
from skyscale.errors import SkyscaleError

TABLE = {
    "demo": ("skyscale.cli.demo:demo", "Train a small model before your eyes, in minutes."),
    "up": ("skyscale.cli.up:up", "Run the control plane and the dashboard."),
    "serve": ("skyscale.cli.serve:serve", "Run the control plane."),
    "runs": ("skyscale.cli.runs:runs", "Create, watch and stop training runs."),
    "algorithms": ("skyscale.cli.algorithms:algorithms", "Look at the training algorithms."),
    "eval": ("skyscale.cli.evaluate:evaluate", "Measure a model or a checkpoint on held-out problems."),
    "checkpoints": ("skyscale.cli.checkpoints:checkpoints", "List, fetch and publish the weights of runs."),
    "rollouts": ("skyscale.cli.rollouts:rollouts", "Read what the model wrote, and what came of it."),
    "problems": ("skyscale.cli.problems:problems", "Upload what is trained on, and look at it."),
    "buffer": ("skyscale.cli.buffer:buffer", "Look into a run's experience buffer."),
    "init": ("skyscale.cli.deploying:init", "Begin a function: a folder with code and settings."),
    "deploy": ("skyscale.cli.deploying:deploy", "Deploy a function or an app."),
    "invoke": ("skyscale.cli.calling:invoke", "Call a function."),
    "logs": ("skyscale.cli.calling:logs", "Show what calls of functions printed."),
    "functions": ("skyscale.cli.functions:functions", "Look at deployed functions and endpoints."),
    "sandbox": ("skyscale.cli.sandbox:sandbox", "Make isolated places to run code, and use them."),
    "sandboxd": ("skyscale.cli.sandboxd:sandboxd", "Run untrusted code for a control plane on another machine."),
    "services": ("skyscale.cli.services:services", "Deploy container services at Railway, call them, delete them."),
    "doctor": ("skyscale.cli.doctor:doctor", "Say what works on this host, and what to do about the rest."),
    "login": ("skyscale.cli.login:login", "Keep an API key for a control plane."),
    "logout": ("skyscale.cli.login:logout", "Forget it."),
    "whoami": ("skyscale.cli.login:whoami", "Say who the control plane takes you for."),
    "keys": ("skyscale.cli.keys:keys", "Make and revoke API keys."),
    "completion": ("skyscale.cli.completion:completion", "Complete commands in your shell."),
    "jobs": ("skyscale.cli.jobs:jobs", "Run jobs of your own, and look at the processes of runs."),
    "gpus": ("skyscale.cli.compute:gpus", "List accelerators by provider, and what providers still need."),
    "templates": ("skyscale.cli.compute:templates", "Look at jobs to begin from."),
    "replicas": ("skyscale.cli.compute:replicas", "List the control planes on this database, and which leads."),
    "status": ("skyscale.cli.compute:status", "Show how the control plane is, and what everything costs."),
}


def _show_version(ctx: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if is_wanted:
        click.echo(f"skyscale {__version__}")
        ctx.exit()


cli = LazyGroup(
    name="skyscale",
    table=TABLE,
    help="Reinforcement learning as a service, on compute you own.",
    epilog="The control plane's address is --url or SKYSCALE_URL; where it asks for a key, SKYSCALE_API_KEY.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[
        click.Option(
            ["--version"], is_flag=True, is_eager=True, expose_value=False, help="Show the version.",
            callback=_show_version,
        )
    ],
)  # fmt: skip


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(args))


def run(args: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        result: object = cli.main(args=args, prog_name="skyscale", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    except SkyscaleError as error:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {error.detail}", err=True)
        click.echo(f"{click.style(' hint:', fg='cyan')} {error.hint}", err=True)
        return 1
    except BrokenPipeError:
        # The reader (head, less) has gone. Python would complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    main()
