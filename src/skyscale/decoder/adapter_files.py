"""PEFT folders: `adapter_config.json` and `adapter_model.safetensors`, read and merged into the base they name.

    base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight  [rank, in]     lora_B.weight  [out, rank]
    merged q_proj = q_proj + alpha / rank * B A                                     (arXiv:2106.09685)

What PEFT can express beyond plain LoRA on matrices is refused, since a merge that leaves it out would be another model.
"""

import json
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from skyscale.decoder.models import resolve_model
from skyscale.errors import Invalid

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
_PLAIN = {"bias": ("none",), "use_dora": (False,), "use_rslora": (False,), "fan_in_fan_out": (False,)}
_EMPTY = ("modules_to_save", "rank_pattern", "alpha_pattern", "layer_replication", "trainable_token_indices")


def is_adapter(folder: Path) -> bool:
    """Whether `folder` holds an adapter rather than a whole model."""
    return (folder / CONFIG).is_file()


def read_merged(folder: Path, read: Callable[[Path], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The base model's tensors, which `read` reads, with the adapter of `folder` merged in; Hugging Face names.

    Raises:
        Invalid: an adapter of another kind, or one that does not fit its base.
    """
    config = _read_config(folder)
    base = resolve_model(config["base_model_name_or_path"])
    if is_adapter(base):
        raise Invalid(f"the base of the adapter in {folder} is an adapter itself", code="adapter_unsupported")
    tensors = read(base)
    scale = float(config["lora_alpha"]) / int(config["r"])
    for name, (down, up) in _pairs(folder).items():
        weight = tensors.get(name)
        if weight is None or weight.shape != (up.shape[0], down.shape[1]) or down.shape[0] != up.shape[1]:
            raise Invalid(f"the adapter in {folder} does not fit {name} of its base", code="weights_mismatch")
        tensors[name] = torch.addmm(weight.float(), up.float(), down.float(), alpha=scale)
    return tensors


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind, base = config["peft_type"], config["base_model_name_or_path"]
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise Invalid(f"cannot read {CONFIG} in {folder}: {e}", code="weights_unreadable") from e
    odd = [key for key, plain in _PLAIN.items() if config.get(key, plain[0]) not in plain]
    odd += [key for key in _EMPTY if config.get(key)]
    if kind != "LORA" or not isinstance(base, str) or odd or rank < 1 or not isfinite(alpha):
        what = ", ".join(odd) or f"{kind} of rank {rank} and alpha {alpha}"
        raise Invalid(f"the adapter in {folder} is not plain LoRA: {what}", code="adapter_unsupported")
    return config


def _pairs(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Name of the base's weight -> A and B."""
    try:
        found = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as e:
        raise Invalid(f"cannot read the adapter in {folder}: {e}", code="weights_unreadable") from e
    names = [key.removesuffix(".lora_A.weight") for key in found if key.endswith(".lora_A.weight")]
    wanted = {f"{name}.lora_{half}.weight" for name in names for half in "AB"}
    if wanted != set(found) or not all(name.startswith(PREFIX) for name in names):
        raise Invalid(f"{WEIGHTS} in {folder} holds more than pairs of A and B", code="adapter_unsupported")
    return {
        f"{name.removeprefix(PREFIX)}.weight": (found[f"{name}.lora_A.weight"], found[f"{name}.lora_B.weight"])
        for name in names
    }
