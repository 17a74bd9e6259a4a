"""What of a Hugging Face `config.json` the decoder needs; anything it would compute wrongly is refused here.

Refusing beats approximating: a model that runs with the wrong rotary scaling samples fluent nonsense and trains on it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyscale.errors import Invalid

SUPPORTED = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}
ROPE_TYPES = ("default", "linear", "llama3")


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeConfig:
    """Rotary embedding: base, and how it is stretched beyond the trained length."""

    theta: float = 10000.0
    type: str = "default"
    """`default`, `linear` (positions divided by `factor`), or `llama3` (low frequencies divided, a ramp between)."""
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_positions: int = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """Sizes and switches of a decoder."""

    architecture: str
    """The `model_type`: one of `SUPPORTED`."""
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    mlp_size: int
    norm_eps: float
    rope: RopeConfig
    max_positions: int
    """Longest sequence, in tokens, that the model was made for."""
    is_tied: bool
    """The output head is the embedding."""
    has_qk_norm: bool
    has_qkv_bias: bool
    eos_token_ids: tuple[int, ...]
    """Tokens that end a completion; `generation_config.json` wins over `config.json`."""

    @property
    def num_groups(self) -> int:
        """Query heads that share one key/value head."""
        return self.num_heads // self.num_kv_heads

    @property
    def qkv_size(self) -> int:
        """Rows of the fused query/key/value projection."""
        return (self.num_heads + 2 * self.num_kv_heads) * self.head_dim

    @staticmethod
    def from_folder(path: Path) -> "DecoderConfig":
        """The configuration of the Hugging Face model in `path`.

        Raises:
            Invalid: no readable `config.json`, or an architecture or option that this decoder does not compute.
        """
        raw = _read_json(path / "config.json")
        generation = path / "generation_config.json"
        eos = _read_json(generation).get("eos_token_id") if generation.exists() else None
        return from_dict(raw, eos if eos is not None else raw.get("eos_token_id"))


def from_dict(raw: dict[str, Any], eos: int | list[int] | None) -> DecoderConfig:
    """The configuration in the parsed `config.json` `raw`; `eos` is the end-of-sequence id or ids.

    Raises:
        Invalid: an architecture or option that this decoder does not compute.
    """
    architecture = str(raw.get("model_type", "unknown"))
    _refuse_unsupported(architecture, raw)
    try:
        heads, hidden = int(raw["num_attention_heads"]), int(raw["hidden_size"])
        config = DecoderConfig(
            architecture=architecture,
            vocab_size=int(raw["vocab_size"]),
            hidden_size=hidden,
            num_layers=int(raw["num_hidden_layers"]),
            num_heads=heads,
            num_kv_heads=int(raw.get("num_key_value_heads") or heads),
            head_dim=int(raw.get("head_dim") or hidden // heads),
            mlp_size=int(raw["intermediate_size"]),
            norm_eps=float(raw.get("rms_norm_eps", 1e-6)),
            rope=_rope(raw),
            max_positions=int(raw.get("max_position_embeddings", 2048)),
            is_tied=bool(raw.get("tie_word_embeddings", False)),
            has_qk_norm=architecture == "qwen3",
            has_qkv_bias=architecture == "qwen2",
            eos_token_ids=_token_ids(eos),
        )
    except KeyError as e:
        raise Invalid(f"config.json has no {e.args[0]!r}", code="model_unsupported") from e
    if config.num_heads % config.num_kv_heads:
        raise Invalid("num_attention_heads must be a multiple of num_key_value_heads", code="model_unsupported")
    return config


def _refuse_unsupported(architecture: str, raw: dict[str, Any]) -> None:
    if architecture not in SUPPORTED:
        raise _unsupported(f"the architecture {architecture!r}")
    if str(raw.get("hidden_act", "silu")) != "silu":
        raise _unsupported(f"hidden_act {raw['hidden_act']!r}")
    for key in ("attention_bias", "mlp_bias"):
        if raw.get(key):
            raise _unsupported(key)
    # Qwen writes a window and says whether it is used; Mistral's window is used when it is written.
    is_windowed = raw.get("sliding_window") is not None and raw.get("use_sliding_window", architecture == "mistral")
    if is_windowed or any(kind != "full_attention" for kind in raw.get("layer_types") or []):
        raise _unsupported("sliding-window attention")
    if raw.get("quantization_config"):
        raise _unsupported("quantized weights")


def _rope(raw: dict[str, Any]) -> RopeConfig:
    # transformers 5 writes `rope_parameters`; earlier files have `rope_theta` and perhaps `rope_scaling`.
    values: dict[str, Any] = {**(raw.get("rope_scaling") or {}), **(raw.get("rope_parameters") or {})}
    kind = str(values.get("rope_type") or values.get("type") or "default")
    if kind not in ROPE_TYPES:
        raise _unsupported(f"rotary embedding of type {kind!r} (known: {', '.join(ROPE_TYPES)})")
    if float(values.get("partial_rotary_factor") or raw.get("partial_rotary_factor") or 1.0) != 1.0:
        raise _unsupported("partial rotary embedding")
    return RopeConfig(
        theta=float(values.get("rope_theta") or raw.get("rope_theta") or 10000.0),
        type=kind,
        factor=float(values.get("factor") or 1.0),
        low_freq_factor=float(values.get("low_freq_factor") or 1.0),
        high_freq_factor=float(values.get("high_freq_factor") or 4.0),
        original_max_positions=int(values.get("original_max_position_embeddings") or 8192),
    )


def _unsupported(what: str) -> Invalid:
    known = ", ".join(SUPPORTED.values())
    return Invalid(
        f"this model needs {what}, which the decoder does not compute",
        code="model_unsupported",
        hint=f"Dense models of these families are supported: {known}; full attention, SwiGLU, no output or MLP biases.",
    )


def _token_ids(value: int | list[int] | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise Invalid(f"cannot read {path.name} of the model folder {path.parent}: {e}", code="model_unreadable") from e
    if not isinstance(value, dict):
        raise Invalid(f"{path} is not a JSON object", code="model_unreadable")
    return value
