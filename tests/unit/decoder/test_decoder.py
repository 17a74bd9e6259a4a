"""The decoder against transformers, the reference implementation of each family."""

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from skyscale.decoder.checkpoint import hf_state_dict, load_decoder, load_weights_, save_decoder
from skyscale.decoder.config import DecoderConfig
from skyscale.decoder.models import resolve_model
from skyscale.errors import Invalid

SIZES = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 97, "max_position_embeddings": 256, "initializer_range": 0.2,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip


def reference(family: str) -> PreTrainedModel:
    torch.manual_seed(0)
    models = {
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=24, tie_word_embeddings=True)),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
        "llama3": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=LLAMA3)),
        "linear": lambda: LlamaForCausalLM(
            LlamaConfig(**SIZES, rope_parameters={"rope_type": "linear", "factor": 3.0, "rope_theta": 1e4})
        ),
        "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=None)),
    }
    model = models[family]()
    with torch.no_grad():  # norms and biases start as ones and zeros, which would hide a mistake in them
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama", "llama3", "linear", "mistral"])
def test_logits_and_gradients_agree_with_transformers(family: str, tmp_path: Path) -> None:
    model = reference(family)
    model.save_pretrained(tmp_path)
    decoder = load_decoder(tmp_path)
    ids = torch.randint(0, 97, (3, 41))
    expected = model(input_ids=ids).logits
    logits = decoder.logits(decoder(ids, torch.arange(41).expand(3, 41)))
    assert (logits - expected).abs().max().item() < 1e-4

    weights = torch.randn_like(expected)
    (expected * weights).mean().backward()
    (logits * weights).mean().backward()
    ours = decoder.blocks[0].qkv.grad[: model.config.num_attention_heads * decoder.config.head_dim]
    assert torch.allclose(ours, model.model.layers[0].self_attn.q_proj.weight.grad, atol=1e-6, rtol=1e-3)
    norm_grad = model.model.layers[1].post_attention_layernorm.weight.grad
    assert torch.allclose(decoder.blocks[1].mlp_norm.grad, norm_grad, atol=1e-6, rtol=1e-3)


def test_padded_rows_with_a_mask_give_the_logits_of_the_rows_alone(tmp_path: Path) -> None:
    reference("qwen3").save_pretrained(tmp_path)
    decoder = load_decoder(tmp_path)
    ids = torch.randint(0, 97, (1, 9))
    alone = decoder(ids, torch.arange(9)[None])
    padded = torch.cat((torch.zeros(1, 4, dtype=torch.long), ids), dim=1)
    mask = torch.ones(13, 13, dtype=torch.bool).tril()
    mask[:, :4] = False  # the padding rows themselves may attend to nothing, and must stay finite
    hidden = decoder(padded, torch.arange(-4, 9)[None].clamp(min=0), mask[None, None])
    assert torch.isfinite(hidden).all()
    assert (hidden[:, 4:] - alone).abs().max().item() < 1e-5


@pytest.mark.parametrize("family", ["qwen3", "qwen2"])
def test_saving_and_loading_changes_no_bit_and_transformers_reads_it(family: str, tmp_path: Path) -> None:
    model = reference(family)
    model.save_pretrained(tmp_path / "base")
    decoder = load_decoder(tmp_path / "base")
    save_decoder(decoder, tmp_path / "saved", tmp_path / "base")
    again = load_decoder(tmp_path / "saved")
    for name, parameter in decoder.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name)), name
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").state_dict()
    for name, tensor in hf_state_dict(decoder).items():
        assert torch.equal(tensor, theirs[name]), name
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_bfloat16_weights_are_written_with_their_dtype_in_the_config(tmp_path: Path) -> None:
    reference("qwen3").save_pretrained(tmp_path / "base")
    save_decoder(load_decoder(tmp_path / "base"), tmp_path / "half", tmp_path / "base", dtype=torch.bfloat16)
    assert json.loads((tmp_path / "half/config.json").read_text())["dtype"] == "bfloat16"
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "half").dtype == torch.bfloat16


@pytest.mark.parametrize("damage", ["missing", "shape", "nan", "truncated"])
def test_a_wrong_folder_leaves_the_live_weights_untouched(damage: str, tmp_path: Path) -> None:
    model = reference("qwen3")
    model.save_pretrained(tmp_path / "base")
    decoder = load_decoder(tmp_path / "base")
    before = {name: parameter.clone() for name, parameter in decoder.named_parameters()}
    with torch.no_grad():
        model.model.norm.weight.add_(float("nan") if damage == "nan" else 1.0)
    if damage == "missing":
        model.model.norm = torch.nn.Identity()
    if damage == "shape":
        model.model.norm.weight = torch.nn.Parameter(torch.ones(63))
    model.save_pretrained(tmp_path / "bad")
    if damage == "truncated":
        weights = tmp_path / "bad/model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(Invalid):
        load_weights_(decoder, tmp_path / "bad")
    assert all(torch.equal(parameter, before[name]) for name, parameter in decoder.named_parameters())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "gpt2"}, "gpt2"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "yarn"),
        ({"model_type": "mistral", "sliding_window": 64}, "sliding-window"),
        ({"attention_bias": True}, "attention_bias"),
    ],
)
def test_what_the_decoder_cannot_compute_is_refused_by_name(change: dict, named: str, tmp_path: Path) -> None:
    raw = {"model_type": "llama", "num_attention_heads": 4, **SIZES, **change}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    with pytest.raises(Invalid, match=named) as caught:
        DecoderConfig.from_folder(tmp_path)
    assert "Qwen3" in caught.value.hint


def test_files_of_older_transformers_versions_are_understood(tmp_path: Path) -> None:
    raw = {"model_type": "qwen2", "rope_theta": 1e6, "sliding_window": 32, "use_sliding_window": False, **SIZES}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 6]}))
    config = DecoderConfig.from_folder(tmp_path)
    assert (config.rope.theta, config.head_dim, config.eos_token_ids) == (1e6, 16, (5, 6))


def test_a_folder_without_a_model_is_not_looked_up_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"no config\.json"):
        resolve_model(str(tmp_path))
