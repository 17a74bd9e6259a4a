"""Build the documentation site into build/site: the pages of docs/, the concepts, and references made from the code.

    python scripts/site/build.py [folder]

- Pages stay readable where they lie: links out of docs/ are turned here, and so is nothing else.
- `api/*.md` is made from openapi.json, `sdk.md` from the clients' own signatures; neither is kept, so none is stale.
- Needs the dependency group `docs`. Nothing is fetched.
"""

import logging
import re
import shutil
import sys
from pathlib import Path
from posixpath import normpath, relpath

import api_pages
import sdk_page
from navigation import MOVED, navigation

ROOT = Path(__file__).parents[2]
WIDE = ".md-grid { max-width: 82rem; }\n"
"""Room for the drawings and tables, which are as wide as a line of code may be."""
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")


def stage(pages: Path) -> None:
    """Every page of the site in `pages`, with links that hold there."""
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(ROOT / "docs", pages)
    for source, target in MOVED.items():
        (pages / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / source, pages / target)
    for page in pages.rglob("*.md"):
        place = page.relative_to(pages).as_posix()
        origin = next((source for source, target in MOVED.items() if target == place), f"docs/{place}")
        page.write_text(_turned(page.read_text(), origin, place))
    (pages / "decisions" / "index.md").write_text(_decisions(pages / "decisions"))
    (pages / "site.css").write_text(WIDE)
    api_pages.write(ROOT / "openapi.json", pages / "api")
    (pages / "sdk.md").write_text(sdk_page.page())


def _turned(text: str, origin: str, place: str) -> str:
    """The page `place`, which lies at `origin` in the repository, with its links as they must be on the site."""

    def turn(match: re.Match[str]) -> str:
        path, _, anchor = match[2].partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return match[0]
        path = normpath(f"{Path(origin).parent.as_posix()}/{path}")
        path = "docs/decisions/index.md" if path == "docs/decisions" else path
        where = MOVED.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if where is None:
            return f"`{match[1]}`"  # a file of the repository that is no page
        return f"[{match[1]}]({relpath(where, Path(place).parent.as_posix())}{'#' + anchor if anchor else ''})"

    return LINK.sub(turn, text)


def _decisions(folder: Path) -> str:
    lines = ["# Decisions", "", "Why it is built like this; a page is never edited, only superseded.", ""]
    for page in sorted(folder.glob("0*.md")):
        title = page.read_text().splitlines()[0].removeprefix("# ")
        lines.append(f"- [{title}]({page.name})")
    return "\n".join(lines) + "\n"


def build(target: Path, pages: Path) -> None:
    """Stage and build; raises when a link or an anchor leads nowhere."""
    from mkdocs.commands.build import build as make
    from mkdocs.config import load_config

    logging.basicConfig(level=logging.WARNING)
    stage(pages)
    config = load_config(str(ROOT / "mkdocs.yml"), docs_dir=str(pages), site_dir=str(target), nav=navigation(pages))
    config.plugins.on_startup(command="build", dirty=False)
    make(config)


def main() -> None:
    """Build where the command line says, or in build/site."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"
    target.parent.mkdir(parents=True, exist_ok=True)
    build(target.absolute(), (target.parent / "site-pages").absolute())
    sys.stdout.write(f"{target}/index.html\n")


if __name__ == "__main__":
    main()
