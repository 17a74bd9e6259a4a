"""`skyscale init` and `skyscale deploy`: a function as a folder, or an app as a Python file.

A folder has `skyscale.toml` (name, entry and limits: the fields of a function's spec), the module that it names, and
`requirements.txt`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyscale.cli.session import connected, json_option, print_json, url_option

if TYPE_CHECKING:
    from skyscale.sdk.app import App
    from skyscale.sdk.client import Client
    from skyscale.wire.functions import DeploymentView, FunctionDeploy, FunctionView

HANDLER = '''"""Called by `skyscale invoke {name}`: the input is JSON, and so is what is returned."""


def handler(event):
    name = (event or {{}}).get("name", "world")
    print(f"greeting {{name}}")
    return {{"greeting": f"Hello {{name}}"}}
'''
SETTINGS = """name = "{name}"
module = "handler.py"
entry = "handler"
memory = 256           # MB
timeout = 30           # seconds
scaledown_window = 60  # seconds after the last call in which sandboxes are kept ready
"""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")


@click.command()
@click.argument("name")
def init(name: str) -> None:
    """Begin a function: a folder NAME with handler.py, requirements.txt and skyscale.toml."""
    folder = Path(name)
    if not NAME.fullmatch(folder.name):
        raise click.UsageError(f"{folder.name!r} is no name for a function: letters, digits, - and _ only")
    if folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"{folder} exists and is not empty")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "handler.py").write_text(HANDLER.format(name=folder.name))
    (folder / "requirements.txt").write_text("")
    (folder / "skyscale.toml").write_text(SETTINGS.format(name=folder.name))
    click.echo(f"made {folder}; deploy it with `skyscale deploy {folder}`")


@click.command()
@url_option
@json_option
@click.argument("path", type=click.Path(exists=True, path_type=Path))
def deploy(url: str, as_json: bool, path: Path) -> None:
    """Deploy a folder with skyscale.toml, or every `skyscale.App` of a Python file (which is run for that)."""
    with connected(url) as client:
        views = _deploy_apps(client, path) if path.suffix == ".py" else [client.functions.deploy(_folder(path))]
    if as_json:
        print_json(views)
        return
    from skyscale.wire.functions import FunctionView

    for view in views:
        if isinstance(view, FunctionView):
            click.echo(f"{click.style(view.name, bold=True)} {view.version}")
        else:
            click.echo(f"{click.style(view.slug, bold=True)} {view.version}  {view.web_method} {view.url}")


def _folder(path: Path) -> FunctionDeploy:
    import tomllib

    from pydantic import ValidationError

    from skyscale.wire.functions import FunctionDeploy

    try:
        values: dict[str, Any] = tomllib.loads((path / "skyscale.toml").read_text(encoding="utf-8"))
        values["code"] = (path / str(values.pop("module", "handler.py"))).read_text(encoding="utf-8")
        requirements = path / "requirements.txt"
        if requirements.is_file() and "requirements" not in values:
            lines = (line.partition("#")[0].strip() for line in requirements.read_text(encoding="utf-8").splitlines())
            values["requirements"] = [line for line in lines if line]
        return FunctionDeploy.model_validate(values)
    except FileNotFoundError as error:
        raise click.UsageError(f"{error.filename} is missing; `skyscale init NAME` makes such a folder") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.UsageError(f"{path}: {error}") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise click.UsageError(f"{path / 'skyscale.toml'}:\n" + "\n".join(lines)) from error


def _deploy_apps(client: Client, path: Path) -> list[FunctionView | DeploymentView]:
    views: list[FunctionView | DeploymentView] = []
    for app in _apps(path):
        app.use(client)
        views += app.deploy()
    return views


def _apps(path: Path) -> list[App]:
    import importlib.util
    import sys

    from skyscale.sdk.app import App

    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # inspect looks for classes there
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise click.ClickException(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    found = [each for each in vars(module).values() if isinstance(each, App) and each.targets]
    if not found:
        raise click.UsageError(f"{path} has no `skyscale.App` with a function")
    return found
