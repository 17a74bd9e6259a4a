"""Inside the sandbox of an environment file: one instance of the user's class per episode of a group."""

import json
import types
from collections.abc import Callable
from typing import Any, cast

from skyscale.envs.inside.common import loaded, number, reply, told

MAX_TEXT = 65536


def make(source: str, name: str) -> Callable[[str], str]:
    """Answers `{op: reset | step | close, ...}` with that operation's result, or `{error}`. Raises NameError."""
    host = _Host(_class_of(loaded(source, name), name), name)
    operations = {"reset": host.reset, "step": host.step, "close": host.close}

    def serve(request: str) -> str:
        message = json.loads(request)
        try:
            return reply(operations[message["op"]](message))
        except Exception as error:  # noqa: BLE001  the user's file may raise anything
            return reply({"error": told(error, name)})

    return serve


def _class_of(module: types.ModuleType, name: str) -> Callable[[], Any]:
    """The class `Environment`, or else the only class of the file that looks like one."""
    found = getattr(module, "Environment", None)
    own = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__]
    fitting = [kind for kind in own if _is_environment(kind)]
    if found is None and len(fitting) == 1:
        found = fitting[0]
    if not isinstance(found, type) or not _is_environment(found):
        raise NameError(f"{name} defines no class `Environment` with reset(task) and step(action)")
    return found


def _is_environment(kind: type) -> bool:
    return all(callable(getattr(kind, method, None)) for method in ("reset", "step"))


class _Host:
    def __init__(self, make_one: Callable[[], Any], name: str) -> None:
        self._make_one = make_one
        self._name = name
        self._episodes: list[Any] = []

    def reset(self, message: dict[str, Any]) -> dict[str, object]:
        openings: list[object] = []
        for _ in range(message["num_episodes"]):
            episode = self._make_one()
            self._episodes.append(episode)
            openings.append(_opening(episode.reset(json.loads(message["task"]))))
        if any(opening != openings[0] for opening in openings):
            raise ValueError("reset must begin all episodes of a task alike: draw what differs from task['seed']")
        return {"messages": openings[0]}

    def step(self, message: dict[str, Any]) -> dict[str, object]:
        return {"results": [self._stepped(each["episode"], each["action"]) for each in message["actions"]]}

    def _stepped(self, index: int, action: str) -> dict[str, object]:
        try:
            return _result(self._episodes[index].step(action))
        except Exception as error:  # noqa: BLE001  the user's file may raise anything
            return {"error": told(error, self._name)}

    def close(self, message: dict[str, Any]) -> dict[str, object]:
        del message
        for episode in self._episodes:
            if callable(getattr(episode, "close", None)):
                episode.close()
        return {}


def _opening(value: object) -> object:
    """What an episode begins with: text, or chat messages."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise ValueError(f"reset must return text or chat messages, not {type(value).__name__}")
    return cast("object", value)


def _result(value: object) -> dict[str, object]:
    if not isinstance(value, tuple):
        raise ValueError(f"step must return (observation, reward, done), not {type(value).__name__}")
    observation, given, done = cast("tuple[object, object, object]", value)
    if not isinstance(observation, str):
        raise ValueError(f"an observation must be text, not {type(observation).__name__}")
    if not isinstance(done, bool):
        raise ValueError(f"done must be True or False, not {type(done).__name__}")
    return {"observation": observation[:MAX_TEXT], "reward": number(given, "the reward"), "done": done}
