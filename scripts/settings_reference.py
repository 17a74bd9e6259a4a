"""Write docs/settings.md from the settings' own documentation."""

from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from skyscale.settings import (
    CloudSettings,
    HostSettings,
    JobSettings,
    LogSettings,
    RailwaySettings,
    RaySettings,
    S3Settings,
    Settings,
    TorchSettings,
    TraceSettings,
    VllmSettings,
    VmSettings,
)


def row(field: FieldInfo) -> str:
    """One line of the table."""
    required = field.default is PydanticUndefined
    default = "required" if required else "unset" if field.default in (None, "") else f"`{field.default}`"
    meaning = " ".join((field.description or "").split())  # a row of a table is one line
    return f"| `{field.alias}` | {default} | {meaning} |"


def main() -> None:
    """Write the page."""
    lines = ["# Settings", "", "Environment variables; this page is generated from `src/skyscale/settings.py`."]
    for title, model in (
        ("Control plane", Settings),
        ("Sandbox host", HostSettings),
        ("Virtual-machine sandboxes", VmSettings),
        ("Ray", RaySettings),
        ("Artifacts on S3", S3Settings),
        ("Clouds", CloudSettings),
        ("Job processes", JobSettings),
        ("Torch engine", TorchSettings),
        ("vLLM", VllmSettings),
        ("Container services", RailwaySettings),
        ("Logs of all of them", LogSettings),
        ("Traces of all of them", TraceSettings),
    ):
        lines += ["", f"## {title}", "", "| variable | default | meaning |", "|---|---|---|"]
        lines += [row(field) for field in model.model_fields.values()]
    Path("docs/settings.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
