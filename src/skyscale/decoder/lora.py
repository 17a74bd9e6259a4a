"""Low-rank adapters beside the decoder's matrices (arXiv:2106.09685), stored as PEFT stores them.

- y = W x + alpha / rank * B A x, with A from PEFT's initialisation and B zero: an attached adapter changes nothing yet.
- W and everything else of the model is frozen; only A and B have gradients, optimizer state and checkpoints.
- A fused matrix (query/key/value, gate/up) has one pair per Hugging Face part, so files need no conversion.

Parameters are called `blocks.<layer>.adapters.<matrix>.<down|up>.<part>`, for example `...qkv.down.q_proj`.
"""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from skyscale.decoder.adapter_files import CONFIG, PREFIX, WEIGHTS
from skyscale.decoder.checkpoint import copy_companions
from skyscale.decoder.config import DecoderConfig
from skyscale.decoder.model import Block, Decoder

_HOMES = {
    "q_proj": "self_attn", "k_proj": "self_attn", "v_proj": "self_attn", "o_proj": "self_attn",
    "gate_proj": "mlp", "up_proj": "mlp", "down_proj": "mlp",
}  # fmt: skip
TARGETS = tuple(_HOMES)


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """Which adapters, and how large."""

    rank: int
    alpha: float
    targets: tuple[str, ...] = TARGETS


class Adapter(nn.Module):
    """What is added to the output of one (fused) matrix; `parts` are its Hugging Face names and rows, in order."""

    def __init__(self, parts: list[tuple[str, int]], width: int, config: LoraConfig) -> None:
        super().__init__()
        self.parts = parts
        self.scale = config.alpha / config.rank
        ours = [(name, rows) for name, rows in parts if name in config.targets]
        self.down = nn.ParameterDict({name: nn.Parameter(torch.empty(config.rank, width)) for name, _ in ours})
        self.up = nn.ParameterDict({name: nn.Parameter(torch.zeros(rows, config.rank)) for name, rows in ours})

    def forward(self, x: Tensor) -> Tensor:
        """scale * B A x of every part, [..., rows of all parts]."""
        added = [self._part(x, name, rows) for name, rows in self.parts]
        return (added[0] if len(added) == 1 else torch.cat(added, dim=-1)) * self.scale

    def _part(self, x: Tensor, name: str, rows: int) -> Tensor:
        if name not in self.down:
            return x.new_zeros(*x.shape[:-1], rows)
        return F.linear(F.linear(x, self.down[name]), self.up[name])


def attach(decoder: Decoder, config: LoraConfig, *, seed: int) -> None:
    """Freeze the decoder and give every block its adapters; `seed` decides A."""
    decoder.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for block in decoder.blocks:
        assert isinstance(block, Block)
        adapters = {
            name: Adapter(parts, width, config)
            for name, parts, width in _matrices(decoder.config)
            if any(part in config.targets for part, _ in parts)
        }
        block.adapters = nn.ModuleDict(adapters)
        for adapter in adapters.values():
            for parameter in adapter.down.values():
                # PEFT's kaiming_uniform_(a=sqrt(5)) comes to this bound.
                bound = 1.0 / math.sqrt(parameter.shape[1])
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
        block.adapters.to(decoder.embedding.device, decoder.embedding.dtype)


def save_adapter(
    weights: Mapping[str, Tensor], config: LoraConfig, folder: Path, *, base_folder: Path, base_name: str
) -> None:
    """Write a PEFT folder of the adapter `weights` (our names, fp32 kept), with the base's configuration and tokenizer.

    `base_name` is what `adapter_config.json` names as the base: a folder or a Hugging Face id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {peft_name(name): tensor.detach().to("cpu").contiguous() for name, tensor in weights.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    written = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base_name, "r": config.rank,
        "lora_alpha": config.alpha, "target_modules": sorted(config.targets), "lora_dropout": 0.0, "bias": "none",
        "fan_in_fan_out": False, "inference_mode": True, "use_dora": False, "use_rslora": False,
    }  # fmt: skip
    (folder / CONFIG).write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(base_folder / "config.json", folder / "config.json")
    copy_companions(base_folder, folder)


def peft_name(name: str) -> str:
    """PEFT's name of one of our adapter parameters."""
    _, layer, _, _, half, part = name.split(".")
    letter = "A" if half == "down" else "B"
    return f"{PREFIX}model.layers.{layer}.{_HOMES[part]}.{part}.lora_{letter}.weight"


def _matrices(config: DecoderConfig) -> list[tuple[str, list[tuple[str, int]], int]]:
    """Each matrix of a block: our name, its parts with their rows, its input width."""
    heads, kv = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    return [
        ("qkv", [("q_proj", heads), ("k_proj", kv), ("v_proj", kv)], config.hidden_size),
        ("out", [("o_proj", config.hidden_size)], heads),
        ("gate_up", [("gate_proj", config.mlp_size), ("up_proj", config.mlp_size)], config.hidden_size),
        ("down", [("down_proj", config.hidden_size)], config.mlp_size),
    ]
