"""The environment contract: what a run's own environment, wherever it runs, is to whoever plays episodes in it.

- A session is one group: its episodes begin with the same messages and then go their own ways.
- An episode's trouble (its step raised, its reward is no number) is a value and ends that episode alone; trouble of the
  whole environment is the exception `EnvironmentFailure`. Neither is ever a reward of 0.
- Every call has a deadline; `close` ends whatever is held, whether the environment wants it or not.
"""

from dataclasses import dataclass, field
from typing import Protocol

Task = dict[str, object]
"""A problem as JSON, with the group's `seed`."""
TOLERANCE = 1e-6
"""By which a sum of floats may leave [0, 1]."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """What one action led to."""

    observation: str = ""
    reward: float = 0.0
    done: bool = True
    parts: dict[str, float] = field(default_factory=dict[str, float])
    trouble: str = ""
    """Why it could not be judged; then nothing else means anything."""


class Session(Protocol):
    """One group being played."""

    async def reset(self, task: Task, num_episodes: int) -> list[dict[str, str]]:
        """Begin so many episodes of a task; the chat messages that all of them begin with.

        Raises:
            EnvironmentFailure: it cannot.
        """
        ...

    async def step(self, actions: list[tuple[int, str]]) -> list[Stepped]:
        """Results in the order of the actions, which are pairs of an episode's index and the model's answer.

        Raises:
            EnvironmentFailure: the whole environment broke; no further step will do better.
        """
        ...

    async def close(self) -> None:
        """End it; safe to call twice."""
        ...


def clipped(text: str, limit: int) -> str:
    """The text without its middle, if it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    mark = "\n[...]\n"
    head = (limit - len(mark)) // 2
    return text[:head] + mark + text[len(text) - (limit - len(mark) - head) :]
