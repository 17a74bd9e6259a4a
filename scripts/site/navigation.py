"""What is where on the site. A page of docs/ that no section names is listed under "More"; none is left out."""

from pathlib import Path

MOVED = {
    "ARCHITECTURE.md": "concepts.md",
    "CONTRIBUTING.md": "contributing.md",
    "openapi.json": "openapi.json",
    "README.md": "about.md",
    "perf/LOG.md": "measurements.md",
}
"""Files of the repository that are on the site at another place than in docs/."""

SECTIONS = {
    "Begin": {"About": "about.md", "Ten minutes": "start.md", "Concepts": "concepts.md"},
    "Guides": {
        "Your own problems": "problem-format.md",
        "Your own reward": "environments.md",
        "Your GPU": "guides/gpu.md",
        "Your cluster": "guides/cluster.md",
        "Where jobs run": "compute.md",
        "Production with TLS": "guides/production.md",
        "Observability": "guides/observability.md",
        "Load": "guides/load.md",
        "Algorithms": "algorithms.md",
        "Larger models": "scale.md",
        "Evaluation and logging": "evaluation.md",
        "Rollouts": "rollouts.md",
        "Sandboxes": "sandboxes.md",
        "Functions": "functions.md",
        "Services": "services.md",
        "Accounts": "accounts.md",
    },
    "Reference": {
        "Commands": "cli.md",
        "Python": "sdk.md",
        "Settings": "settings.md",
        "Metrics": "metrics.md",
        "Metrics of training": "metrics-training.md",
    },
}
LATER = {"Measurements": "measurements.md", "Working here": "contributing.md"}


def navigation(pages: Path) -> list[object]:
    """The site's `nav`: sections, the HTTP API by topic, what has no section yet, decisions."""
    nav: list[object] = [{"Home": "README.md"}]
    named = {"README.md"} | set(LATER.values())
    for title, entries in SECTIONS.items():
        there = {name: place for name, place in entries.items() if (pages / place).exists()}
        named |= set(there.values())
        nav.append({title: [{name: place} for name, place in there.items()]})
    api = sorted(page.relative_to(pages).as_posix() for page in (pages / "api").glob("*.md"))
    decisions = sorted(page.relative_to(pages).as_posix() for page in (pages / "decisions").glob("*.md"))
    named |= {*api, *decisions}
    more = sorted({page.relative_to(pages).as_posix() for page in pages.rglob("*.md")} - named)
    nav.append({"HTTP API": ["api/index.md", *(page for page in api if page != "api/index.md")]})
    if more:
        nav.append({"More": list[object](more)})
    nav.append({"Decisions": ["decisions/index.md", *(page for page in decisions if not page.endswith("index.md"))]})
    return [*nav, *({name: place} for name, place in LATER.items())]
