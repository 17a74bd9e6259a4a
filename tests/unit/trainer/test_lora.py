"""Adapters: exact at the start, trained alone, resumed, published in PEFT's format and merged on loading."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from skyscale.decoder.checkpoint import load_decoder, load_weights_
from skyscale.decoder.lora import LoraConfig, attach, save_adapter
from skyscale.decoder.model import Decoder
from skyscale.errors import Invalid
from skyscale.trainer.checkpoint import capture, restore
from skyscale.trainer.step import Learner
from skyscale.wire.runs import Algorithm, RunCreate
from skyscale.wire.training import Training
from tests.unit.trainer import pinned

ALGORITHM = Algorithm(learning_rate=2e-2, warmup_steps=0)
CONFIGS = [LoraConfig(4, 8.0), LoraConfig(3, 4.0, ("q_proj", "v_proj", "down_proj"))]


def _learner(folder: Path, config: LoraConfig = CONFIGS[0], dtype: torch.dtype | None = None) -> Learner:
    model = load_decoder(folder)
    attach(model, config, seed=1)
    return Learner(model, ALGORITHM, 1.0, compute_dtype=dtype)


def _logits(model: Decoder) -> Tensor:
    ids = torch.arange(30)[None] * 7 % 50
    with torch.no_grad():
        return model.logits(model(ids, torch.arange(30)[None]))


def _saved(learner: Learner, config: LoraConfig, base: Path, folder: Path) -> Path:
    save_adapter(capture(learner).weights, config, folder, base_folder=base, base_name=str(base))
    return folder


def test_a_fresh_adapter_changes_nothing_and_training_moves_adapters_alone(tiny_folder: Path):
    base = load_decoder(tiny_folder)
    learner = _learner(tiny_folder)
    assert torch.equal(_logits(learner.model), _logits(base))
    learner.train(pinned.groups(), 0)
    learner.train(pinned.groups(), 1)
    frozen = dict(base.named_parameters())
    changed = {name for name, p in learner.model.named_parameters() if name not in frozen or not p.equal(frozen[name])}
    assert changed == set(learner.weights)
    assert all(".adapters." in name for name in changed)
    assert not torch.allclose(_logits(learner.model), _logits(base), atol=1e-3)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_saved_adapter_is_merged_on_loading(tiny_folder: Path, tmp_path: Path, config: LoraConfig):
    learner = _learner(tiny_folder, config)
    learner.train(pinned.groups(), 0)
    folder = _saved(learner, config, tiny_folder, tmp_path / "adapter")
    assert len(load_file(folder / "adapter_model.safetensors")) == 2 * 2 * len(config.targets)
    torch.testing.assert_close(_logits(load_decoder(folder)), _logits(learner.model), atol=2e-5, rtol=1e-4)
    live = load_decoder(tiny_folder)
    load_weights_(live, folder)
    torch.testing.assert_close(_logits(live), _logits(learner.model), atol=2e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("config", CONFIGS)
def test_peft_loads_it_onto_transformers_with_equal_logits(tiny_folder: Path, tmp_path: Path, config: LoraConfig):
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    learner = _learner(tiny_folder, config)
    learner.train(pinned.groups(), 0)
    folder = _saved(learner, config, tiny_folder, tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    model = peft.PeftModel.from_pretrained(base, folder).eval()
    with torch.no_grad():
        theirs = model(torch.arange(30)[None] * 7 % 50).logits
    torch.testing.assert_close(theirs, _logits(learner.model), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_a_resumed_adapter_goes_on_bit_for_bit_from_a_checkpoint_of_adapters(tiny_folder: Path, dtype):
    straight = _learner(tiny_folder, dtype=dtype)
    straight.train(pinned.groups(), 0)
    snapshot = capture(straight)
    assert snapshot.weights.keys() == straight.weights.keys()
    expected = straight.train(pinned.groups(), 1).metrics
    resumed = _learner(tiny_folder, dtype=dtype)
    restore(resumed, snapshot)
    assert resumed.train(pinned.groups(), 1).metrics == expected


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"use_dora": True}, "adapter_unsupported"),
        ({"peft_type": "IA3"}, "adapter_unsupported"),
        ({"rank_pattern": {"q_proj": 2}}, "adapter_unsupported"),
        ({"r": 0}, "adapter_unsupported"),
        ({"base_model_name_or_path": "/nowhere"}, "model_not_found"),
    ],
)
def test_an_adapter_that_cannot_be_merged_exactly_is_refused(tiny_folder: Path, tmp_path: Path, change, code: str):
    folder = _saved(_learner(tiny_folder), CONFIGS[0], tiny_folder, tmp_path)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(Invalid) as caught:
        load_decoder(folder)
    assert caught.value.code == code


def test_the_run_request_says_it_and_full_is_the_default():
    assert RunCreate().training == Training()
    asked = RunCreate.model_validate({"training": {"method": "lora", "lora_rank": 8, "targets": ["q_proj"]}})
    assert (asked.training.method, asked.training.lora_rank) == ("lora", 8)
    with pytest.raises(ValueError, match="named twice"):
        Training(targets=["q_proj", "q_proj"])
