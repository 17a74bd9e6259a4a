"""Which credential a person's programs send, and the file that `skyscale login` keeps it in.

- The environment comes first: SKYSCALE_API_KEY, then SKYSCALE_TOKEN. Else the key kept for exactly this address.
- The file is `skyscale/credentials.json` in the user's configuration folder, readable by its owner alone.
"""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import cast

VARIABLES = ("SKYSCALE_API_KEY", "SKYSCALE_TOKEN")


def credential_for(url: str, environment: Mapping[str, str] | None = None) -> str | None:
    """What to send to the control plane at this address; None for nothing."""
    environment = os.environ if environment is None else environment
    for name in VARIABLES:
        if value := environment.get(name, "").strip():
            return value
    return read_kept(path_in(environment)).get(_address(url))


def environment_url() -> str:
    """SKYSCALE_URL, or where `skyscale serve` listens by default."""
    return os.environ.get("SKYSCALE_URL") or "http://127.0.0.1:8080"


def keep(url: str, secret: str) -> Path:
    """Keep a key for this address; returns where."""
    path = path_in(os.environ)
    _write(path, read_kept(path) | {_address(url): secret})
    return path


def forget(url: str) -> bool:
    """Forget the key of this address; whether there was one."""
    path = path_in(os.environ)
    kept = read_kept(path)
    if kept.pop(_address(url), None) is None:
        return False
    _write(path, kept)
    return True


def path_in(environment: Mapping[str, str]) -> Path:
    """Where keys are kept."""
    base = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME") or "~").expanduser() / ".config")
    return Path(base) / "skyscale" / "credentials.json"


def read_kept(path: Path) -> dict[str, str]:
    """Keys by address; a file that is missing or that is not ours has none."""
    try:
        content: object = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {str(key): value for key, value in cast("dict[str, object]", content).items() if isinstance(value, str)}


def _write(path: Path, kept: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(kept, indent=2) + "\n")
    draft.replace(path)


def _address(url: str) -> str:
    return url.rstrip("/")
