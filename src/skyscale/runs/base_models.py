"""Whether a base model exists, asked before a run is created: here, in the Hugging Face cache, or on the Hub.

Called outside any transaction. A Hub that does not answer within the deadline is a refusal only where it matters: a job
of the local provider would have to ask the same Hub from the same machine.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import cast

import httpx

from skyscale.artifacts.model_folder import require_trainable
from skyscale.errors import Invalid
from skyscale.runs.memory import require_fit
from skyscale.runs.resolve import STARTER, is_path
from skyscale.wire.runs import RunSpec

HUB_TIMEOUT_S = 5.0


async def require_model(spec: RunSpec, http: httpx.AsyncClient) -> None:
    """Raise Invalid, with what to do, when the run's base model cannot be had."""
    if spec.base_model == STARTER:
        return
    if is_path(spec.base_model):
        await asyncio.to_thread(_require_folder, spec)
    elif cached := _cached(spec.base_model):
        await asyncio.to_thread(_require_memory, spec, cached)
    else:
        await _require_on_hub(spec, http)


def _require_folder(spec: RunSpec) -> None:
    name = spec.base_model
    try:
        found = (Path(name).expanduser() / "config.json").is_file()
    except (OSError, ValueError):
        found = False
    if not found:
        raise Invalid(f"base_model: there is no {name}/config.json", code="model_not_found")
    require_trainable(Path(name).expanduser())
    _require_memory(spec, Path(name).expanduser())


def _require_memory(spec: RunSpec, folder: Path) -> None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # the job that loads it says what is wrong with it
    if isinstance(config, dict):
        require_fit(spec, cast("dict[str, object]", config))


def _cached(name: str) -> Path | None:
    """A folder of the model in the Hub's cache on this machine, its newest."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    snapshots = cache / f"models--{name.replace('/', '--')}" / "snapshots"
    if not snapshots.is_dir():
        return None
    return max(snapshots.iterdir(), key=lambda path: path.stat().st_mtime, default=snapshots)


async def _require_on_hub(spec: RunSpec, http: httpx.AsyncClient) -> None:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    token = os.environ.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = await http.get(f"{endpoint}/api/models/{spec.base_model}", headers=headers, timeout=HUB_TIMEOUT_S)
    except httpx.HTTPError as error:
        if spec.provider != "local":
            return
        raise Invalid(
            f"base_model: {spec.base_model!r} is not on this machine and the Hugging Face Hub does not answer",
            code="model_unreachable",
            hint="Give a local folder, or skyscale/starter, or download the model first.",
        ) from error
    if answer.status_code in (401, 403, 404):
        raise Invalid(
            f"base_model: the Hugging Face Hub has no model {spec.base_model!r} for this caller",
            code="model_not_found",
            hint="Check the spelling; a private or gated model needs HF_TOKEN.",
        )
