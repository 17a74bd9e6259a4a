"""From flags, a file and `--set` to a `RunCreate`. Later ones win: file, flags, settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

if TYPE_CHECKING:
    from skyscale.wire.runs import RunCreate


def build_request(file_text: str | None, flags: dict[str, object], settings: tuple[str, ...]) -> RunCreate:
    """The request; raises UsageError naming every field that is wrong."""
    from pydantic import ValidationError

    from skyscale.wire.runs import RunCreate

    body = _from_file(file_text) if file_text is not None else {}
    body.update({name: value for name, value in flags.items() if value is not None})
    for setting in settings:
        _apply(body, setting)
    try:
        return RunCreate.model_validate(body)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, each['loc'])) or 'the request'}: {each['msg']}" for each in error.errors()]
        raise click.UsageError("this run cannot be created:\n" + "\n".join(lines)) from error


def environment_of(reward_file: Path | None, environment: str | None) -> dict[str, object] | None:
    """The request's environment from `--reward FILE` or `--environment FILE|URL`; None when neither is given."""
    if reward_file is not None and environment is not None:
        raise click.UsageError("--reward and --environment exclude each other")
    if reward_file is not None:
        return {"kind": "reward_file", "source": _source(reward_file)}
    if environment is None:
        return None
    if environment.startswith(("http://", "https://")):
        return {"kind": "http", "url": environment}
    if "://" in environment:
        raise click.UsageError(f"--environment takes a Python file or an http:// or https:// URL, not {environment!r}")
    return {"kind": "python", "source": _source(Path(environment))}


def _source(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from error


def _from_file(text: str) -> dict[str, Any]:
    try:
        body: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise click.UsageError(f"--file is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise click.UsageError("--file must hold a JSON object")
    return cast("dict[str, Any]", body)


def _apply(body: dict[str, Any], setting: str) -> None:
    """Apply one `a.b=value`; the value is JSON where it can be read as such, else text."""
    path, is_assigned, text = setting.partition("=")
    if not is_assigned or not path:
        raise click.UsageError(f"--set takes field=value, for example algorithm.learning_rate=1e-4, not {setting!r}")
    *parents, name = path.split(".")
    target = body
    for parent in parents:
        inner: object = target.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise click.UsageError(f"--set {path}: {parent} has no fields")
        target = cast("dict[str, Any]", inner)
    try:
        target[name] = json.loads(text)
    except json.JSONDecodeError:
        target[name] = text
