"""Reads the code blocks of the documentation, and checks a command line against the real commands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from skyscale.cli.main import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?:<!-- ([^\n]*) -->\n)?```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
ENDS = {"&&", "||", ";", "|", "&", ")"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    remark: str = ""
    """The comment above it: `not run: why`, `run by <test>`, `run in background: <name>`, or nothing."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """All blocks in these languages."""
    found: list[Block] = []
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            if match[2] in languages:
                line = text.count("\n", 0, match.start(2)) + 1
                found.append(Block(page, line, match[2], match[3], match[1] or ""))
    return found


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each simple command of a shell block; of a console block only what follows `$ `."""
    text = block.text.replace("\\\n", " ")
    lines = [line for line in text.splitlines() if block.language != "console" or line.startswith("$ ")]
    for line in lines:
        lexer = shlex.shlex(line.removeprefix("$ ").replace("$(", "\n("), posix=True, punctuation_chars=";&|()")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word in ENDS or word == "(":
                while words and re.match(r"[A-Za-z_]+=", words[0]):
                    words = words[1:]
                if words:
                    yield words
                words = []
            else:
                words.append(word)


def check_skyscale(words: list[str]) -> None:
    """Raise click.UsageError for an unknown command or option, a missing or a surplus argument."""
    command: click.Command = cli
    context = click.Context(cli, info_name="skyscale")
    rest = words[1:]
    while isinstance(command, click.Group):
        if rest[0] in ("--help", "-h", "--version"):
            return
        found = command.get_command(context, rest[0])
        if found is None:
            raise click.UsageError(f"no command {rest[0]!r}")
        command, rest = found, rest[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    values, surplus, _ = command.make_parser(context).parse_args(args=list(rest))
    if surplus:
        raise click.UsageError(f"nobody reads {surplus}")
    for parameter in command.params:
        value = values.get(parameter.name or "")
        # What was not given is None, or click's own mark for it.
        if (
            isinstance(parameter, click.Argument)
            and parameter.required
            and not (isinstance(value, str | tuple) and value)
        ):
            raise click.UsageError(f"no {parameter.name}")
