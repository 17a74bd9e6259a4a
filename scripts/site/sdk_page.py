"""The Python SDK as a page, from its own signatures and docstrings."""

import inspect
import re
from importlib import import_module

CLASSES = {
    "skyscale.sdk.client": ("Client", "AsyncClient"),
    "skyscale.sdk.sandbox": ("Sandbox",),
    "skyscale.sdk.jobs": ("JobClient",),
}
INTRODUCTION = """# Python

What the package gives to programs. Generated from its signatures when the site is built. Every method raises classes of
`skyscale.errors`; bodies and replies are the schemas of the [HTTP API](api/index.md), under the same names in
`skyscale.wire`. The command line uses the same clients.
"""


def page() -> str:
    """The whole page, in Markdown."""
    parts = [INTRODUCTION]
    for module, names in CLASSES.items():
        for name in names:
            parts.append(_class(f"{module}.{name}", getattr(import_module(module), name)))
    parts.append(_errors())
    return "\n".join(parts)


def _class(path: str, cls: type) -> str:
    lines = [f"## {path}", "", inspect.getdoc(cls) or "", ""]
    for name, member in cls.__dict__.items():
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if inspect.isfunction(function) and not name.startswith("_"):
            prefix = "async " if inspect.iscoroutinefunction(function) else ""
            lines += [
                f"### {prefix}{name}",
                "",
                f"`{_signature(function, name)}`",
                "",
                inspect.getdoc(function) or "",
                "",
            ]
        elif isinstance(member, property):
            lines += [f"### {name}", "", inspect.getdoc(member) or "", ""]
    return "\n".join(lines)


def _signature(function: object, name: str) -> str:
    assert callable(function)
    text = str(inspect.signature(function))
    text = re.sub(r"\b(?:skyscale|collections|pathlib|typing|datetime)\.(?:[a-z_]+\.)*", "", text)
    return name + text.replace("(self, ", "(").replace("(self)", "()").replace("(cls, ", "(").replace("(cls)", "()")


def _errors() -> str:
    from skyscale import errors

    lines = ["## skyscale.errors", "", "| class | status | code | meaning |", "|---|---|---|---|"]
    for name, cls in vars(errors).items():
        if inspect.isclass(cls) and issubclass(cls, errors.SkyscaleError):
            meaning = (inspect.getdoc(cls) or "").splitlines()[0]
            lines.append(f"| `{name}` | {cls.status} | `{cls.code}` | {meaning} |")
    return "\n".join(lines) + "\n"
