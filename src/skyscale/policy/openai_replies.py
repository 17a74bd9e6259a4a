"""OpenAI's reply shapes, as plain dictionaries: a group's reply is built and encoded without a model class per token.

Extensions: `policy_version` on every reply; with `return_token_ids` also `prompt_token_ids`, and per choice
`token_ids`, `token_logprobs` and `versions`, which are the record that training uses. The names are vLLM's where it has
them.
"""

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from skyscale.policy.engine import Completion, TokenEvent
from skyscale.policy.text import GrowingText, cut_at_stop
from skyscale.policy.tokenizer import ChatTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyStyle:
    """What a caller asked to see."""

    reply_id: str
    created: int
    """Seconds since the epoch."""
    model: str
    is_chat: bool
    wants_logprobs: bool
    wants_token_ids: bool
    stops: tuple[str, ...]
    prompt_ids: list[int]


class ReplyWriter:
    """Writes replies in one style."""

    def __init__(self, tokenizer: ChatTokenizer, style: ReplyStyle) -> None:
        self._style = style
        self._decode = tokenizer.decode
        self._token_text = tokenizer.token_text
        self._texts: dict[int, GrowingText] = {}

    def whole(self, completions: list[Completion], policy_version: int) -> dict[str, Any]:
        """The reply to a call that does not stream."""
        style = self._style
        reply = self._head("chat.completion" if style.is_chat else "text_completion", policy_version)
        reply["choices"] = [self._choice(completion) for completion in completions]
        reply["usage"] = self.usage(sum(len(completion.token_ids) for completion in completions))
        if style.wants_token_ids:
            reply["prompt_token_ids"] = style.prompt_ids
        return reply

    def opening(self, n: int, policy_version: int) -> dict[str, Any]:
        """The first chunk of a chat stream: the role of every choice."""
        chunk = self._head("chat.completion.chunk", policy_version)
        delta = {"role": "assistant", "content": ""}
        chunk["choices"] = [{"index": i, "delta": delta, "finish_reason": None} for i in range(n)]
        if self._style.wants_token_ids:
            chunk["prompt_token_ids"] = self._style.prompt_ids
        return chunk

    def chunk(self, event: TokenEvent) -> dict[str, Any]:
        """One token of a stream."""
        style = self._style
        grown = self._texts.get(event.index) or GrowingText(self._decode, style.stops)
        self._texts[event.index] = grown
        text = grown.add(event.token_id, event.finish_reason is not None)
        choice: dict[str, Any] = {"index": event.index, "finish_reason": event.finish_reason}
        choice |= {"delta": {"content": text}} if style.is_chat else {"text": text}
        choice["logprobs"] = self._logprobs([event.token_id], [event.logprob]) if style.wants_logprobs else None
        if style.wants_token_ids:
            choice |= {
                "token_ids": [event.token_id],
                "token_logprobs": [event.logprob],
                "versions": [event.version],
            }
        chunk = self._head("chat.completion.chunk" if style.is_chat else "text_completion", event.version)
        chunk["choices"] = [choice]
        return chunk

    def usage_chunk(self, num_tokens: int, policy_version: int) -> dict[str, Any]:
        """The last chunk of a stream with `include_usage`."""
        chunk = self._head("chat.completion.chunk" if self._style.is_chat else "text_completion", policy_version)
        return chunk | {"choices": [], "usage": self.usage(num_tokens)}

    def usage(self, num_tokens: int) -> dict[str, int]:
        """Token counts; `num_tokens` were sampled."""
        prompt = len(self._style.prompt_ids)
        return {"prompt_tokens": prompt, "completion_tokens": num_tokens, "total_tokens": prompt + num_tokens}

    def _head(self, kind: str, policy_version: int) -> dict[str, Any]:
        style = self._style
        return {
            "id": style.reply_id,
            "object": kind,
            "created": style.created,
            "model": style.model,
            "policy_version": policy_version,
        }

    def _choice(self, completion: Completion) -> dict[str, Any]:
        style = self._style
        ids, logprobs = completion.token_ids, completion.logprobs
        text = cut_at_stop(self._decode(ids), style.stops)
        choice: dict[str, Any] = {"index": completion.index, "finish_reason": completion.finish_reason}
        if style.is_chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            choice["text"] = text
        choice["logprobs"] = self._logprobs(ids, logprobs) if style.wants_logprobs else None
        if style.wants_token_ids:
            choice |= {"token_ids": ids, "token_logprobs": logprobs, "versions": completion.versions}
        return choice

    def _logprobs(self, ids: list[int], logprobs: list[float]) -> dict[str, Any]:
        texts = [self._token_text(token_id) for token_id in ids]
        if not self._style.is_chat:
            offsets = list(accumulate(map(len, texts[:-1]), initial=0)) if texts else []
            return {"tokens": texts, "token_logprobs": logprobs, "top_logprobs": None, "text_offset": offsets}
        content = [
            {"token": text, "logprob": logprob, "bytes": list(text.encode()), "top_logprobs": []}
            for text, logprob in zip(texts, logprobs, strict=True)
        ]
        return {"content": content, "refusal": None}
