"""Hugging Face folders to decoders and back, bit for bit.

Names and shapes of every tensor are checked before anything is changed, so a wrong folder leaves a live model as it
was. Only safetensors are read: nothing from a model folder is ever unpickled.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import isfinite
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from skyscale.decoder.adapter_files import is_adapter, read_merged
from skyscale.decoder.config import DecoderConfig
from skyscale.decoder.model import Decoder
from skyscale.decoder.tensor_file import Piece, safetensors_pieces
from skyscale.errors import Invalid

COPIED = (
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json",
    "merges.txt", "added_tokens.json", "chat_template.jinja", "tokenizer.model",
)  # fmt: skip
"""Files beside the weights that make a folder loadable."""


def load_decoder(folder: Path, *, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> Decoder:
    """The model in `folder`, its weights in `dtype` on `device`.

    Raises:
        Invalid: an unsupported architecture, or weights that are missing, misshapen, unreadable or not finite.
    """
    config = DecoderConfig.from_folder(folder)
    weights = read_weights(config, folder, dtype=dtype, device=device)
    with torch.device("meta"):
        decoder = Decoder(config)
    decoder.load_state_dict(weights, assign=True)
    for parameter in decoder.parameters():
        parameter.requires_grad_()
    return decoder


def read_weights(
    config: DecoderConfig, folder: Path, *, dtype: torch.dtype, device: str | torch.device = "cpu"
) -> dict[str, Tensor]:
    """Weights of `folder` under the decoder's own (fused) names, complete and checked.

    Raises:
        Invalid: weights are missing, left over, misshapen, unreadable or not finite.
    """
    return dict(each_weight(config, folder, dtype=dtype, device=device))


def each_weight(
    config: DecoderConfig, folder: Path, *, dtype: torch.dtype, device: str | torch.device = "cpu"
) -> Iterator[tuple[str, Tensor]]:
    """What `read_weights` returns, one at a time; whether any is left over is known after the last."""
    found = read_merged(folder, _read_tensors) if is_adapter(folder) else _read_tensors(folder)
    if config.is_tied:
        found.pop("lm_head.weight", None)
    wanted = _shapes(config)
    for name, parts in _parts_by_name(config).items():
        tensors = [_take(found, part, rows, wanted[name], folder) for part, rows in parts]
        joined = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
        weight = joined.to(device=device, dtype=dtype)
        # A sum is one pass instead of four; it may also overflow, so it only says that all is well.
        if not isfinite(float(weight.sum())) and not bool(torch.isfinite(weight).all()):
            raise Invalid(f"{folder} has values in {name} that are not finite", code="weights_not_finite")
        yield name, weight
    if found:
        raise Invalid(f"{folder} has weights that this model does not: {_few(found)}", code="weights_mismatch")


@lru_cache(maxsize=8)
def _shapes(config: DecoderConfig) -> dict[str, torch.Size]:
    # A model without memory takes a millisecond to make, and a policy server asks at every version.
    with torch.device("meta"):
        return {name: parameter.shape for name, parameter in Decoder(config).named_parameters()}


def copy_weights_(decoder: Decoder, weights: dict[str, Tensor]) -> None:
    """Overwrite the decoder's parameters in place with the result of `read_weights`."""
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            parameter.copy_(weights[name])


def load_weights_(decoder: Decoder, folder: Path) -> None:
    """Overwrite the decoder's parameters in place with those of `folder`; on `Invalid` nothing has changed."""
    dtype, device = decoder.embedding.dtype, decoder.embedding.device
    copy_weights_(decoder, read_weights(decoder.config, folder, dtype=dtype, device=device))


def hf_state_dict(decoder: Decoder) -> dict[str, Tensor]:
    """The parameters under Hugging Face's (unfused) names: detached views of the decoder's memory."""
    return unfused(decoder.config, dict(decoder.named_parameters()))


def unfused(config: DecoderConfig, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`weights` by the decoder's names under Hugging Face's: detached views of them."""
    result: dict[str, Tensor] = {}
    for name, parts in _parts_by_name(config).items():
        start = 0
        for part, rows in parts:
            stop = start + rows if rows else None
            result[part] = weights[name].detach()[start:stop]
            start += rows
    return result


def stacked_names(config: DecoderConfig) -> dict[str, list[str]]:
    """The decoder's name of each parameter to Hugging Face's of the parts that are stacked in it, in their order."""
    return {name: [part for part, _ in parts] for name, parts in _parts_by_name(config).items()}


def save_decoder(decoder: Decoder, folder: Path, base_folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write `folder`: the weights in `dtype` (default: as they are), and configuration and tokenizer of `base_folder`.

    The folder loads in transformers' `AutoModelForCausalLM`; its `config.json` differs from the base's in `dtype` only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = decoder_files(decoder.config, dict(decoder.named_parameters()), base_folder, dtype=dtype)
    for name, content in contents.items():
        if isinstance(content, Path):
            shutil.copyfile(content, folder / name)
        else:
            with (folder / name).open("wb") as sink:
                sink.writelines(content)


def decoder_files(
    config: DecoderConfig, weights: Mapping[str, Tensor], base_folder: Path, *, dtype: torch.dtype | None = None
) -> dict[str, Path | list[Piece]]:
    """What `save_decoder` writes, by file name: files of `base_folder`, and pieces that lie in `weights`.

    `weights`, by the decoder's names, must stay as they are until the pieces are written.
    """
    chosen = dtype or weights["embedding"].dtype
    tensors = {name: value.to("cpu", chosen) for name, value in unfused(config, weights).items()}
    settings = json.loads((base_folder / "config.json").read_text(encoding="utf-8"))
    settings.pop("torch_dtype", None)
    settings["dtype"] = str(chosen).removeprefix("torch.")
    return {
        "model.safetensors": safetensors_pieces(tensors, {"format": "pt"}),
        "config.json": [f"{json.dumps(settings, indent=2)}\n".encode()],
        **{name: base_folder / name for name in COPIED if (base_folder / name).exists()},
    }


def copy_companions(base_folder: Path, folder: Path) -> None:
    """Put the tokenizer and its like beside the weights."""
    for name in COPIED:
        if (base_folder / name).exists():
            shutil.copyfile(base_folder / name, folder / name)


def _parts_by_name(config: DecoderConfig) -> dict[str, list[tuple[str, int]]]:
    """Our parameter -> Hugging Face parts and their rows, in the order they are stacked; 0 rows means all of it."""
    names = {"embedding": [("model.embed_tokens.weight", 0)], "final_norm": [("model.norm.weight", 0)]}
    if not config.is_tied:
        names["untied_head"] = [("lm_head.weight", 0)]
    for layer in range(config.num_layers):
        names.update(_block_parts(config, f"blocks.{layer}.", f"model.layers.{layer}."))
    return names


def _block_parts(config: DecoderConfig, ours: str, theirs: str) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    rows = config.head_dim
    qkv = (("q", config.num_heads * rows), ("k", config.num_kv_heads * rows), ("v", config.num_kv_heads * rows))
    yield f"{ours}input_norm", [(f"{theirs}input_layernorm.weight", 0)]
    yield f"{ours}qkv", [(f"{theirs}self_attn.{part}_proj.weight", size) for part, size in qkv]
    if config.has_qkv_bias:
        yield f"{ours}qkv_bias", [(f"{theirs}self_attn.{part}_proj.bias", size) for part, size in qkv]
    if config.has_qk_norm:
        yield f"{ours}q_norm", [(f"{theirs}self_attn.q_norm.weight", 0)]
        yield f"{ours}k_norm", [(f"{theirs}self_attn.k_norm.weight", 0)]
    yield f"{ours}out", [(f"{theirs}self_attn.o_proj.weight", 0)]
    yield f"{ours}mlp_norm", [(f"{theirs}post_attention_layernorm.weight", 0)]
    yield f"{ours}gate_up", [(f"{theirs}mlp.{part}_proj.weight", config.mlp_size) for part in ("gate", "up")]
    yield f"{ours}down", [(f"{theirs}mlp.down_proj.weight", 0)]


def _take(found: dict[str, Tensor], part: str, rows: int, whole: torch.Size, folder: Path) -> Tensor:
    """Remove the Hugging Face tensor `part` from `found`, its shape checked against the parameter it goes into."""
    if part not in found:
        raise Invalid(f"{folder} lacks the weight {part}", code="weights_mismatch")
    expected = (rows or whole[0], *whole[1:])
    tensor = found.pop(part)
    if tuple(tensor.shape) != expected:
        raise Invalid(
            f"{part} in {folder} has shape {list(tensor.shape)}, but the model needs {list(expected)}",
            code="weights_mismatch",
        )
    return tensor


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    index = folder / "model.safetensors.index.json"
    try:
        files = sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.exists() else None
        tensors: dict[str, Tensor] = {}
        for name in files or ["model.safetensors"]:
            if Path(name).name != name:
                raise Invalid(f"{index} names a file outside its folder: {name!r}", code="weights_unreadable")
            with safe_open(folder / name, framework="pt") as file:
                names = list(file.keys())
                # Old exports carry the rotary frequencies, which the configuration decides.
                kept = [key for key in names if not key.endswith("rotary_emb.inv_freq")]
                tensors.update({key: file.get_tensor(key) for key in kept})
    except (OSError, ValueError, KeyError, SafetensorError) as e:
        raise Invalid(f"cannot read the weights in {folder}: {e}", code="weights_unreadable") from e
    return tensors


def _few(names: dict[str, Tensor]) -> str:
    shown = ", ".join(sorted(names)[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
