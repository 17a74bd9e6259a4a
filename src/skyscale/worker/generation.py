"""What is asked of the policy server and what it answers. Pure.

The call is OpenAI's chat completion; `return_token_ids` adds token ids, flat `token_logprobs` and versions, which are
OpenAI's `logprobs.content[].logprob` in a tenth of the bytes.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from skyscale.errors import ProtocolError
from skyscale.sdk.call import Call
from skyscale.wire.episodes import GroupTicket


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled completion; one logprob and one version per token."""

    text: str
    token_ids: list[int]
    logprobs: list[float]
    versions: list[int]
    is_truncated: bool
    """It ended because the token limit was reached."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The completions of a group and the prompt they share."""

    prompt_ids: list[int]
    completions: list[Completion]


def chat_call(ticket: GroupTicket, model: str, *, min_version: int) -> Call[Generation]:
    """The request for all completions of a group at once, by the weights of `min_version` or newer."""
    body = {
        "model": model,
        "messages": ticket.messages,
        "n": ticket.group_size,
        "temperature": ticket.temperature,
        "max_tokens": ticket.max_new_tokens,
        "seed": ticket.seed,
        "return_token_ids": True,
        "min_policy_version": min_version,
    }

    def parse(content: bytes) -> Generation:
        generation = read_reply(content)
        if len(generation.completions) != ticket.group_size:
            raise ProtocolError(f"asked for {ticket.group_size} completions, got {len(generation.completions)}")
        return generation

    return Call("POST", "/v1/chat/completions", parse, body=orjson.dumps(body))


def continuation_call(
    ticket: GroupTicket, model: str, ids: list[int], observation: str, *, seed: int, min_version: int
) -> Call[Generation]:
    """The request for one episode's next answer: the ids so far go in as they are, and come back with what was added.

    `prompt_ids` of the reply is all that the model was given.
    """
    body = {
        "model": model,
        "prompt": ids,
        "append_messages": [{"role": "user", "content": observation}],
        "n": 1,
        "temperature": ticket.temperature,
        "max_tokens": ticket.max_new_tokens,
        "seed": seed,
        "return_token_ids": True,
        "min_policy_version": min_version,
    }
    return Call("POST", "/v1/completions", read_reply, body=orjson.dumps(body))


def read_reply(content: bytes) -> Generation:
    """The reply's completions in the order of their index. Raises ProtocolError for anything malformed."""
    try:
        body: dict[str, Any] = orjson.loads(content)
        choices: list[dict[str, Any]] = sorted(body["choices"], key=_index)
        prompt_ids: list[int] = body.get("prompt_token_ids") or choices[0]["prompt_token_ids"]
        default_version: int = body.get("policy_version") or 0
        return Generation(prompt_ids, [_completion(choice, default_version) for choice in choices])
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ProtocolError(f"the policy server's reply lacks {error}") from error


def _index(choice: dict[str, Any]) -> int:
    return choice["index"]


def _completion(choice: dict[str, Any], default_version: int) -> Completion:
    token_ids: list[int] = choice["token_ids"]
    logprobs: list[float] | None = choice.get("token_logprobs")
    if logprobs is None:
        logprobs = [token["logprob"] for token in choice["logprobs"]["content"]]
    versions: list[int] = choice.get("versions") or [default_version] * len(token_ids)
    if not len(token_ids) == len(logprobs) == len(versions):
        raise ProtocolError(f"{len(token_ids)} tokens came with {len(logprobs)} logprobs and {len(versions)} versions")
    text: str = (choice["message"]["content"] if "message" in choice else choice["text"]) or ""
    return Completion(text, token_ids, logprobs, versions, choice["finish_reason"] == "length")
