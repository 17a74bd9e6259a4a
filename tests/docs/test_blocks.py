"""Every code block of the documentation is what it says it is."""

import json
import re
from pathlib import Path

import click
import pytest

from skyscale.wire.runs import RunCreate
from tests.docs.commands import PAGES, ROOT, Block, blocks, check_skyscale, commands
from tests.scripts import load_script

SHELLS = ("sh", "bash", "console")


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_is_read_and_run_requests_are_valid(block: Block) -> None:
    for value in map(json.loads, block.text.splitlines()) if block.text.startswith("{") else [json.loads(block.text)]:
        if isinstance(value, dict) and value.keys() <= RunCreate.model_fields.keys():
            RunCreate.model_validate(value)


@pytest.mark.parametrize("block", blocks(*SHELLS), ids=str)
def test_commands_exist_with_their_options(block: Block) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in commands(block):
        program = Path(words[0]).name
        if program == "skyscale":
            check_skyscale(words)
        elif program == "make":
            assert not [word for word in words[1:] if "=" not in word and word not in targets], words
        elif program == "python" and words[1].endswith(".py"):
            assert (ROOT / words[1]).exists(), words


def test_the_checks_can_fail() -> None:
    for line in ("skyscale fly", "skyscale runs create --warp 9", "skyscale runs watch", "skyscale runs list surplus"):
        with pytest.raises(click.UsageError):
            check_skyscale(line.split())
    page = ROOT / "README.md"
    assert list(
        commands(Block(page, 1, "console", "$ A=1 skyscale serve && id=$(skyscale keys list)  # x\nout\n"))
    ) == [
        ["skyscale", "serve"],
        ["skyscale", "keys", "list"],
    ]


def test_run_requests_in_shell_blocks_are_valid() -> None:
    bodies = [
        words[words.index("-d") + 1] for block in blocks(*SHELLS) for words in commands(block)
        if words[0] == "curl" and "-d" in words and "/api/rl/runs" in " ".join(words)
    ]  # fmt: skip
    assert bodies
    for body in bodies:
        RunCreate.model_validate_json(body)


def test_the_list_of_commands_is_what_the_commands_say() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == load_script("cli_reference").page(), (
        "run: python scripts/cli_reference.py"
    )


def test_the_index_leads_to_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = [page.relative_to(ROOT / "docs") for page in PAGES if page.is_relative_to(ROOT / "docs")]
    wanted = [str(page) for page in pages if page.parts[0] != "decisions" and page.name != "README.md"]
    assert not [page for page in wanted if page not in index]
