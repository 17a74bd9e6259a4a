"""Text to token ids and back, and chat messages to a prompt: `tokenizer.json` and the model's own chat template.

- A conversation goes on by appending: what the template writes behind an assistant's message, and nothing before it, is
  rendered, so the ids that the model was given and has sampled stay as they are.
- Text that is appended was written by programs and services: special tokens in it are broken up, so that it cannot
  end its own message or speak as somebody else.

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

ANSWER = "skyscale answer 5e1f"
"""Stands for the assistant's message when the template is asked what it writes behind one."""
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
        self._token_texts: dict[int, str] = {}
        config_path = folder / "tokenizer_config.json"
        config: dict[str, Any] = json.loads(config_path.read_text(encoding="utf-8")) if config_path.is_file() else {}
        self._special_texts = _special_texts(self._tokenizer)
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
        text = self._token_texts.get(token_id)
        if text is None:
            text = self._token_texts[token_id] = self._tokenizer.decode([token_id], skip_special_tokens=False)
        return text

    def chat_prompt(self, messages: list[dict[str, Any]]) -> list[int]:
        """Token ids of the prompt that asks for the assistant's next message.

        Raises:
            BadRequest: the model has no chat template, or its template refuses these messages.
        """
        return self._tokenizer.encode(self._render(messages), add_special_tokens=False).ids

    def continued(self, ids: list[int], messages: list[dict[str, Any]]) -> list[int]:
        """`ids`, which end with an assistant's message, then `messages` and what asks for the next answer.

        If the message was ended with the token that the template ends messages with, that is not written twice.

        Raises:
            BadRequest: as `chat_prompt`, or the template does not write an assistant's message down as it is.
        """
        asked = [{"role": "user", "content": "?"}, {"role": "assistant", "content": ANSWER}]
        safe = [message | {"content": self._harmless(str(message["content"]))} for message in messages]
        _, found, tail = self._render([*asked, *safe]).partition(ANSWER)
        if not found:
            raise BadRequest("the model's chat template rewrites an assistant's message", code="template_not_additive")
        tail_ids = self._tokenizer.encode(tail, add_special_tokens=False).ids
        if ids and tail_ids[:1] == ids[-1:]:
            tail_ids = tail_ids[1:]
        return ids + tail_ids

    def _render(self, messages: list[dict[str, Any]]) -> str:
        if self._template is None:
            raise BadRequest(
                "this model has no chat template",
                code="no_chat_template",
                hint="Use /v1/completions, or add chat_template.jinja to the model's folder.",
            )
        try:
            return self._template.render(messages=messages, add_generation_prompt=True, **self._specials)
        except TemplateError as e:
            raise BadRequest(f"the model's chat template refuses these messages: {e}") from e

    def _harmless(self, text: str) -> str:
        """The text with every special token in it broken up by a space behind its first character."""
        for token in self._special_texts:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text


def _special_texts(tokenizer: Tokenizer) -> list[str]:
    """Every token that is not made of text, longest first, so that none is left inside another's pieces."""
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    return sorted((text for text in added if len(text) > 1), key=len, reverse=True)


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
