"""Tables of the pages are whole: a row is one line, and nothing stands between a table's head and its rows."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "perf/LOG.md"]
RULE = re.compile(r"\|[\s:|-]+\|")


def broken(text: str) -> list[int]:
    """Numbers of lines that a reader does not see as the row of a table that they are meant to be."""
    without_code = re.sub(r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), text, flags=re.M | re.S)
    lines, found = ["", *without_code.split("\n"), ""], list[int]()
    for number in range(1, len(lines) - 1):
        before, line, after = lines[number - 1 : number + 2]
        if line.startswith("|"):
            is_head = not before.startswith("|")
            found += [number] if not line.rstrip().endswith("|") or (is_head and not RULE.fullmatch(after)) else []
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_table_is_whole(page: Path):
    assert broken(page.read_text(encoding="utf-8")) == []


def test_a_row_of_two_lines_and_a_row_behind_a_gap_are_found():
    assert broken("| a | b |\n|---|---|\n| 1 | two\nlines |\n") == [3]
    assert broken("| a | b |\n|---|---|\n| 1 | 2 |\n\n| 3 | 4 |\n") == [5]
    assert broken("```\n| no table\n```\n| a |\n|---|\n| 1 |\n") == []
