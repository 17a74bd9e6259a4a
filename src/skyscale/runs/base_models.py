"""Whether a base model exists, asked before a run is created: here, in the Hugging Face cache, or on the Hub.

Called outside any transaction. A Hub that does not answer within the deadline is a refusal only where it matters: a job
of the local provider would have to ask the same Hub from the same machine.
"""

import asyncio
import os
from pathlib import Path

import httpx

from skyscale.artifacts.model_folder import require_trainable
from skyscale.errors import Invalid
from skyscale.runs.resolve import STARTER, is_path
from skyscale.wire.runs import RunSpec

HUB_TIMEOUT_S = 5.0


async def require_model(spec: RunSpec, http: httpx.AsyncClient) -> None:
    """Raise Invalid, with what to do, when the run's base model cannot be had."""
    if spec.base_model == STARTER:
        return
    if is_path(spec.base_model):
        await asyncio.to_thread(_require_folder, spec.base_model)
    elif not _is_cached(spec.base_model):
        await _require_on_hub(spec, http)


def _require_folder(name: str) -> None:
    try:
        found = (Path(name).expanduser() / "config.json").is_file()
    except (OSError, ValueError):
        found = False
    if not found:
        raise Invalid(f"base_model: there is no {name}/config.json", code="model_not_found")
    require_trainable(Path(name).expanduser())


def _is_cached(name: str) -> bool:
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    return (cache / f"models--{name.replace('/', '--')}" / "snapshots").is_dir()


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
