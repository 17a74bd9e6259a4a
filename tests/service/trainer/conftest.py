"""A tiny model folder for whole trainers."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from skyscale.decoder.checkpoint import hf_state_dict
from skyscale.decoder.config import from_dict
from skyscale.decoder.model import Decoder

CONFIG = {
    "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "vocab_size": 20, "hidden_size": 16,
    "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 16,
    "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 64, "tie_word_embeddings": True,
}  # fmt: skip


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    decoder = Decoder(from_dict(dict(CONFIG), None))
    decoder.initialize(0.2, torch.Generator().manual_seed(1))
    save_file({name: value.clone() for name, value in hf_state_dict(decoder).items()}, folder / "model.safetensors")
    return folder
