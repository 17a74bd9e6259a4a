"""A call as a value: what is sent, how the reply is read, and how long it may be repeated.

Pure: no I/O, clock or random. `transport.py` sends calls; `operator_calls.py` and `job_calls.py` make them.
A call with `is_repeatable` does no harm when it arrives twice, because its body or path carries an id.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from skyscale.errors import ProtocolError

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Param = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request and the reading of its reply."""

    method: str
    path: str
    parse: Callable[[bytes], T]
    params: Mapping[str, Param] = field(default_factory=dict[str, Param])
    body: bytes | None = None
    is_repeatable: bool = True
    hold_s: float = 0.0
    """How long the server may hold the call before it answers, on top of the client's time-out."""


def get(path: str, parse: Callable[[bytes], T], *, hold_s: float = 0.0, **params: Param | None) -> Call[T]:
    """A GET; parameters that are None are left out."""
    return Call("GET", path, parse, {key: value for key, value in params.items() if value is not None}, hold_s=hold_s)


def post(
    path: str, parse: Callable[[bytes], T], body: BaseModel, *, is_repeatable: bool = True, hold_s: float = 0.0
) -> Call[T]:
    """A POST of a wire model."""
    return Call("POST", path, parse, body=to_json(body), is_repeatable=is_repeatable, hold_s=hold_s)


def to_json(body: BaseModel) -> bytes:
    """The model as compact JSON."""
    # The model's own serializer gives bytes; `model_dump_json` would decode them only for us to encode again.
    return body.__pydantic_serializer__.to_json(body)


def reading(model: type[M]) -> Callable[[bytes], M]:
    """A parser of replies of that model, which raises ProtocolError for anything else."""

    def parse(content: bytes) -> M:
        try:
            return model.model_validate_json(content)
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, each["loc"])) or "body" for each in error.errors()[:3])
            raise ProtocolError(f"the reply is not a {model.__name__}: {fields}") from error

    return parse


def nothing(_: bytes) -> None:
    """The reply's body does not matter."""


def as_bytes(content: bytes) -> bytes:
    """The reply's body, unread."""
    return content
