"""What a sandbox or a service says of an episode, read without trust. Pure.

A wrong shape, a reward that is no finite number or lies outside [0, 1] is trouble of that episode, in plain words.
"""

import json
import math
from typing import Any, cast

from skyscale.envs.environment import TOLERANCE, Stepped
from skyscale.errors import EnvironmentFailure

MAX_MESSAGES = 64
MAX_OPENING_CHARS = 262_144
MAX_PARTS = 32
ROLES = ("system", "user", "assistant")


def json_object(text: str | bytes) -> dict[str, Any]:
    """The JSON object in a text whose size the caller has bounded.

    Raises:
        EnvironmentFailure: it is not one.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EnvironmentFailure(f"the environment's answer is not JSON: {error}"[:300]) from error
    if not isinstance(value, dict):
        raise EnvironmentFailure("the environment's answer is not a JSON object")
    return cast("dict[str, Any]", value)


def opening_of(body: dict[str, Any]) -> list[dict[str, str]]:
    """The chat messages of `{"messages": [...]}` or of `{"observation": text}`.

    Raises:
        EnvironmentFailure: there are none that a chat can begin with.
    """
    found = body.get("messages", body.get("observation"))
    messages = [{"role": "user", "content": found}] if isinstance(found, str) else found
    if not isinstance(messages, list) or not 0 < len(cast("list[object]", messages)) <= MAX_MESSAGES:
        raise EnvironmentFailure(f"reset must give text or 1 to {MAX_MESSAGES} chat messages")
    checked = [_message(message) for message in cast("list[object]", messages)]
    if sum(len(message["content"]) for message in checked) > MAX_OPENING_CHARS:
        raise EnvironmentFailure(f"the first observation is longer than {MAX_OPENING_CHARS} characters")
    return checked


def _message(value: object) -> dict[str, str]:
    message = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    role, content = message.get("role"), message.get("content")
    if role not in ROLES or not isinstance(content, str) or len(message) != 2:
        raise EnvironmentFailure(f"a chat message has a role ({', '.join(ROLES)}) and content, which is text")
    return {"role": str(role), "content": content}


def stepped_of(value: object) -> Stepped:
    """One step's result; whatever is wrong with it is its `trouble`."""
    body = cast("dict[str, object]", value) if isinstance(value, dict) else {"error": "the result is not an object"}
    if "error" in body:
        return Stepped(trouble=str(body["error"])[:500])
    observation, done = body.get("observation", ""), body.get("done", False)
    if not isinstance(observation, str):
        return Stepped(trouble="an observation must be text")
    if not isinstance(done, bool):
        return Stepped(trouble="done must be true or false")
    reward = _number(body.get("reward", 0.0))
    if reward is None:
        return Stepped(trouble=f"the reward must be a finite number, not {str(body.get('reward'))[:80]!r}")
    if not -TOLERANCE <= reward <= 1 + TOLERANCE:
        return Stepped(trouble=f"the reward is {reward:g}, which is not from 0 to 1")
    parts = body.get("parts")
    named = cast("dict[str, object]", parts) if isinstance(parts, dict) else {}
    numbers = {name[:80]: number for name, part in named.items() if (number := _number(part)) is not None}
    if len(numbers) != len(named) or len(named) > MAX_PARTS or not isinstance(parts, dict | None):
        return Stepped(trouble=f"parts must be at most {MAX_PARTS} finite numbers by name")
    return Stepped(observation, min(1.0, max(0.0, reward)), done, numbers)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
