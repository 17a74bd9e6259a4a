"""What OpenAI clients may send, and what of it this server can honour.

Unknown fields are refused, so that a typo or a feature we lack is an error and not a silent default. `top_p`, `top_k`
and penalties other than neutral would make the reported log-probabilities wrong for training, and are refused.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_COMPLETIONS = 256
NEUTRAL = {"top_p": (1, None), "top_k": (-1, 0, None), "min_p": (0, None), "presence_penalty": (0, None),
           "frequency_penalty": (0, None), "repetition_penalty": (1, None), "logit_bias": (None, {})}  # fmt: skip
"""Fields that are accepted at these values and mean nothing."""


class StreamOptions(BaseModel):
    """What a stream shall contain besides tokens."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False


class SamplingBody(BaseModel):
    """The fields that both calls share."""

    model_config = ConfigDict(extra="forbid")

    model: str
    n: Annotated[int, Field(ge=1, le=MAX_COMPLETIONS)] | None = 1
    temperature: Annotated[float, Field(ge=0, le=4)] | None = 1.0
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    return_token_ids: bool | None = False
    """Adds `prompt_token_ids`, and per choice `token_ids`, `token_logprobs` and `versions`."""
    min_policy_version: Annotated[int, Field(ge=0)] | None = None
    """Answer 503 `policy_version_behind` while an older version is served."""
    ignore_eos: bool | None = False
    user: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _only_neutral_values_of_what_would_bias(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            raise ValueError("the body must be a JSON object")
        for name, values in NEUTRAL.items():
            if name in raw and raw[name] not in values:
                raise ValueError(
                    f"{name} must be {values[0]}: log-probabilities are reported for the unmodified distribution"
                )
        return {name: value for name, value in raw.items() if name not in NEUTRAL}

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings; empty ones mean nothing."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in given if text)


class Message(BaseModel):
    """A chat message; content is text, or parts that are all text."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, str]] | None = ""
    name: str | None = None

    def as_text(self) -> dict[str, Any]:
        """The message as chat templates expect it."""
        content = self.content
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
        return {"role": self.role, "content": content or ""}

    @model_validator(mode="after")
    def _only_text(self) -> "Message":
        if isinstance(self.content, list) and any(part.get("type") != "text" for part in self.content):
            raise ValueError("content parts must be of type 'text'")
        return self


class ChatBody(SamplingBody):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Field(ge=0, le=0)] | None = None

    @property
    def wants_logprobs(self) -> bool:
        """Whether choices carry `logprobs`."""
        return bool(self.logprobs)

    @property
    def limit(self) -> int | None:
        """Tokens per completion, if the caller says."""
        return self.max_completion_tokens or self.max_tokens


class CompletionBody(SamplingBody):
    """`POST /v1/completions`: one prompt, as text or as token ids."""

    prompt: str | list[int] | Annotated[list[str], Field(min_length=1, max_length=1)]
    logprobs: Annotated[int, Field(ge=0, le=1)] | None = None
    append_messages: Annotated[list[Message], Field(max_length=16)] = []
    """Behind a prompt that ends with an assistant's message: what the chat template makes of these, and of the next
    answer's beginning. The prompt's ids stay as they are; `return_token_ids` tells what they became."""
    echo: Literal[False] | None = False
    best_of: Literal[1] | None = None
    suffix: Literal[""] | None = None

    @property
    def wants_logprobs(self) -> bool:
        """Whether choices carry `logprobs`."""
        return self.logprobs is not None

    @property
    def limit(self) -> int:
        """Tokens per completion; OpenAI's default for this call is 16."""
        return self.max_tokens or 16
