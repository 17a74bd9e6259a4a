"""The documentation site is built, strictly, and whole: no dead link, nothing from elsewhere, all of the API."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from skyscale.sdk.client import AsyncClient, Client
from tests.docs.commands import ROOT

pytestmark = pytest.mark.timeout(180)


class Page(HTMLParser):
    """Where a page leads, what it loads, and what can be pointed at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in ("script", "img", "iframe") and "src" in values:
            self.loads.append(values["src"])
        if tag == "link" and values.get("rel") == "stylesheet":
            self.loads.append(values["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    target = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, str(ROOT / "scripts" / "site" / "build.py"), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    return target


def test_every_link_leads_somewhere_and_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = {path: Page(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 30
    for path, page in pages.items():
        assert not [load for load in page.loads if re.match(r"(https?:)?//", load)], path
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{path.relative_to(site)} leads to {link}"
            if anchor and target in pages and anchor != "__skip":
                assert anchor in pages[target].ids, f"{path.relative_to(site)} leads to {link}"


def test_the_reference_has_every_call_schema_and_method(site: Path) -> None:
    described = json.loads((ROOT / "openapi.json").read_text())
    shown = "".join(path.read_text() for path in (site / "api").glob("*.html"))
    for path, calls in described["paths"].items():
        for method in calls.keys() & {"get", "post", "put", "patch", "delete"}:
            assert f">{method.upper()} {path}<" in shown, f"{method} {path}"
    schemas = Page((site / "api" / "schemas.html").read_text()).ids
    assert {name.lower() for name in described["components"]["schemas"]} <= schemas
    python = (site / "sdk.html").read_text()
    for cls in (Client, AsyncClient):
        assert not [name for name in vars(cls) if not name.startswith("_") and f"{name}" not in python]


def test_the_guides_and_the_drawing_are_there(site: Path) -> None:
    for page in ("start", "concepts", "problem-format", "environments", "guides/gpu", "guides/cluster",
                 "guides/production", "cli", "settings", "metrics", "sdk"):  # fmt: skip
        assert (site / f"{page}.html").exists(), page
    assert "policy server" in (site / "concepts.html").read_text()
    assert "tokens, logprobs, version per token" in (site / "concepts.html").read_text()
    assert (site / "search" / "search_index.json").stat().st_size > 100_000


def test_a_dead_link_ends_the_build(tmp_path: Path) -> None:
    script = "import sys; sys.path.insert(0, sys.argv[1]); import build; from pathlib import Path\n"
    script += "stage = build.stage\n"
    script += "def broken(pages):\n    stage(pages)\n    (pages / 'start.md').write_text('[gone](nowhere.md)')\n"
    script += "build.stage = broken\nbuild.build(Path(sys.argv[2]) / 'site', Path(sys.argv[2]) / 'pages')\n"
    command = [sys.executable, "-c", script, str(ROOT / "scripts" / "site"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert done.returncode != 0 and "nowhere.md" in done.stderr
