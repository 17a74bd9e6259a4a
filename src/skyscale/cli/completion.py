"""`skyscale completion`: the script that a shell loads to complete commands and options."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell, for example: eval "$(skyscale completion bash)"."""
    from click.shell_completion import get_completion_class

    from skyscale.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None  # the choice above has no others
    click.echo(found(cli, {}, "skyscale", "_SKYSCALE_COMPLETE").source())
