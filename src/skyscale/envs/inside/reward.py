"""Inside the sandbox of a reward file: calls `reward(task, completion)` for one answer at a time."""

import json
from collections.abc import Callable
from typing import cast

from skyscale.envs.inside.common import loaded, number, reply, told


def make(source: str, name: str) -> Callable[[str], str]:
    """Answers `{task, completion}` with `{reward, parts}` or `{error}`. Raises NameError without a function."""
    reward: Callable[[object, str], object] | None = getattr(loaded(source, name), "reward", None)
    if not callable(reward):
        raise NameError(f"{name} defines no function `reward(task, completion)`")

    def serve(request: str) -> str:
        message = json.loads(request)
        try:
            return reply(_scored(reward(message["task"], message["completion"])))
        except Exception as error:  # noqa: BLE001  the user's file may raise anything
            return reply({"error": told(error, name)})

    return serve


def _scored(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        return {"reward": number(value, "the reward"), "parts": {}}
    named = cast("dict[object, object]", value)
    parts = {str(name)[:80]: number(part, f"part {str(name)[:80]!r}") for name, part in named.items()}
    return {"reward": sum(parts.values()), "parts": parts}
