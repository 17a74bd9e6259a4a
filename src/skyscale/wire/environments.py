"""What a run's episodes are played in: the built-in code environment, a reward file, a Python file, an HTTP service.

`docs/environments.md` explains each kind. The source of a file is part of the run's specification, so that a run can be
repeated from its record alone; it is executed in a sandbox and nowhere else.
"""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from skyscale.wire.base import Request

MAX_SOURCE_CHARS = 65536
MAX_TURNS = 32
Source = Annotated[str, Field(min_length=1, max_length=MAX_SOURCE_CHARS)]


class _Bounds(Request):
    """What every kind of environment is held to."""

    max_observation_chars: Annotated[int, Field(ge=64, le=65536)] = 2000
    """An observation or feedback that is longer loses its middle."""
    episode_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """From the first prompt to the last answer; what is not over by then is cut and scored as it stands."""


class CodeEnvironment(_Bounds):
    """The answer is a program, judged against the problem's hidden tests; the built-in one."""

    kind: Literal["code"] = "code"
    feedback: Literal["examples", "brief"] = "examples"
    """After a wrong program: what the public examples showed; or only that it was wrong, for very small models."""
    repeat_prompt: bool = False
    """Whether feedback ends with the problem's prompt; small models answer what they are asked last."""


class RewardFileEnvironment(_Bounds):
    """One answer per episode, scored by `def reward(task, completion)` of a Python file."""

    kind: Literal["reward_file"]
    source: Source
    """The file's text."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    """For all answers of a group together; a file that needs longer is cut off."""


class PythonEnvironment(_Bounds):
    """A class with `reset(task)` and `step(action)` in a Python file, alive in a sandbox for as long as a group."""

    kind: Literal["python"]
    source: Source
    """The file's text."""
    step_timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    """For one turn of all episodes of a group."""


class HttpEnvironment(_Bounds):
    """`POST {url}/reset`, `/step` and `/close` of a service; its origin must be in SKYSCALE_ENVIRONMENT_ORIGINS."""

    kind: Literal["http"]
    url: Annotated[str, Field(min_length=8, max_length=2000)]
    step_timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    """For one call."""

    @field_validator("url")
    @classmethod
    def _is_plain_http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http or https URL")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must not carry a user, a query or a fragment")
        return url.rstrip("/")


Environment = Annotated[
    CodeEnvironment | RewardFileEnvironment | PythonEnvironment | HttpEnvironment, Field(discriminator="kind")
]
EnvironmentKind = Literal["code", "reward_file", "python", "http"]
