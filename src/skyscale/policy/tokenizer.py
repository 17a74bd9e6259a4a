"""Text to token ids and back, and chat messages to a prompt: `tokenizer.json` and the model's own chat template.

The `tokenizers` library alone: transformers gives the same ids, but takes seconds to import. Templates run in jinja's
sandbox, because they come with the model.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from skyscale.errors import BadRequest, Invalid

SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


class ChatTokenizer:
    """The tokenizer of one model folder."""

    def __init__(self, folder: Path) -> None:
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise Invalid(
                f"{folder} has no tokenizer.json",
                code="tokenizer_unsupported",
                hint="Save a fast tokenizer into the folder: AutoTokenizer.from_pretrained(...).save_pretrained(...).",
            )
        self._tokenizer = Tokenizer.from_file(str(path))
        config_path = folder / "tokenizer_config.json"
        config: dict[str, Any] = json.loads(config_path.read_text(encoding="utf-8")) if config_path.is_file() else {}
        self._specials = {name: _text_of(config[name]) for name in SPECIAL_NAMES if config.get(name)}
        source = _template_source(folder, config)
        self._template = None if source is None else _environment().from_string(source)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, with the special tokens that the model's tokenizer adds by itself."""
        return self._tokenizer.encode(text).ids

    def decode(self, ids: list[int]) -> str:
        """The text of `ids` without special tokens; bytes that form no character become U+FFFD."""
        return self._tokenizer.decode(ids, skip_special_tokens=True)

    def token_text(self, token_id: int) -> str:
        """The text of one token, special tokens included."""
        return self._tokenizer.decode([token_id], skip_special_tokens=False)

    def chat_prompt(self, messages: list[dict[str, Any]]) -> list[int]:
        """Token ids of the prompt that asks for the assistant's next message.

        Raises:
            BadRequest: the model has no chat template, or its template refuses these messages.
        """
        if self._template is None:
            raise BadRequest(
                "this model has no chat template",
                code="no_chat_template",
                hint="Use /v1/completions, or add chat_template.jinja to the model's folder.",
            )
        try:
            text = self._template.render(messages=messages, add_generation_prompt=True, **self._specials)
        except TemplateError as e:
            raise BadRequest(f"the model's chat template refuses these messages: {e}") from e
        return self._tokenizer.encode(text, add_special_tokens=False).ids


def _template_source(folder: Path, config: dict[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    found = config.get("chat_template")
    if isinstance(found, list):  # several named templates
        found = {entry["name"]: entry["template"] for entry in found}.get("default")
    return found


def _environment() -> ImmutableSandboxedEnvironment:
    """What transformers offers to chat templates."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    offered: dict[str, Any] = environment.globals
    offered.update(raise_exception=_refuse, strftime_now=_strftime_now)
    return environment


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(format_: str) -> str:
    return datetime.now().astimezone().strftime(format_)


def _text_of(token: str | Mapping[str, str]) -> str:
    return token if isinstance(token, str) else token["content"]
