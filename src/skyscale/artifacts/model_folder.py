"""Whether a model's folder has what a run needs beside weights, asked before anything is started: JSON only, no torch.

A run speaks to its policy in chat messages and compares token ids of two processes, so it needs a fast tokenizer, a
chat template, and a tokenizer whose ids the model knows.
"""

import json
from pathlib import Path
from typing import Any, cast

from skyscale.errors import Invalid


def require_trainable(folder: Path) -> None:
    """Raise Invalid, with what to do, for a folder that a run could not play or train with."""
    tokenizer = _read(folder / "tokenizer.json")
    if tokenizer is None:
        raise Invalid(
            f"base_model: {folder} has no tokenizer.json",
            code="tokenizer_unsupported",
            hint="Save a fast tokenizer into the folder: AutoTokenizer.from_pretrained(...).save_pretrained(...).",
        )
    if not has_chat_template(folder):
        raise Invalid(
            f"base_model: {folder} has no chat template, and problems are put to the policy as chat messages",
            code="no_chat_template",
            hint="Take the model's instruct variant, or put its template into the folder as chat_template.jinja.",
        )
    known = (_read(folder / "config.json") or {}).get("vocab_size")
    highest = _highest_id(tokenizer)
    if isinstance(known, int) and highest >= known:
        raise Invalid(
            f"base_model: the tokenizer in {folder} has ids up to {highest}, but the model knows {known} tokens",
            code="vocabulary_mismatch",
            hint="Put the tokenizer there that the model was trained with, or resize the model's embedding.",
        )


def has_chat_template(folder: Path) -> bool:
    """Whether the folder has a chat template, as a file of its own or in the tokenizer's configuration."""
    if (folder / "chat_template.jinja").is_file():
        return True
    template: object = (_read(folder / "tokenizer_config.json") or {}).get("chat_template")
    if isinstance(template, list):
        named = cast("list[dict[str, str]]", template)
        return any(each.get("name") == "default" for each in named)
    return bool(template)


def _highest_id(tokenizer: dict[str, Any]) -> int:
    added = cast("list[dict[str, Any]]", tokenizer.get("added_tokens") or [])
    ids = [int(token["id"]) for token in added]
    model = cast("dict[str, Any]", tokenizer.get("model") or {})
    vocabulary: object = model.get("vocab")
    if isinstance(vocabulary, dict):
        ids += cast("dict[str, int]", vocabulary).values()
    elif isinstance(vocabulary, list):  # unigram: a token's id is its place
        ids.append(len(cast("list[object]", vocabulary)) - 1)
    return max(ids, default=-1)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as e:
        raise Invalid(f"base_model: cannot read {path}: {e}", code="model_unreadable") from e
