"""A user's environment class in a sandbox: all episodes of a group in one process, one instance each.

They share a process because they share an author: the user's file, for which the model's answers are data. A step that
raises ends its own episode; one that loops or crashes takes the group with it, which is then played no further.
"""

import contextlib
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import cast

from skyscale.envs.claims import opening_of, stepped_of
from skyscale.envs.environment import Stepped, Task
from skyscale.envs.hosted import HostedFile
from skyscale.errors import EnvironmentFailure, SandboxFailure
from skyscale.sandboxes.sandbox import SandboxBackend
from skyscale.wire.environments import PythonEnvironment

Turn = Callable[[], AbstractAsyncContextManager[None]]
FILE_NAME = "environment.py"
CLOSE_TIMEOUT_S = 1.0
"""How long the class may tidy up; its sandbox ends in any case."""


class PythonSession:
    """See `environment.Session`."""

    def __init__(self, backend: SandboxBackend, environment: PythonEnvironment, turn: Turn) -> None:
        """`turn` gives leave to make the sandbox work."""
        self._backend = backend
        self._turn = turn
        self._environment = environment
        self._hosted: HostedFile | None = None

    async def reset(self, task: Task, num_episodes: int) -> list[dict[str, str]]:
        """Load the file and begin the episodes."""
        async with self._turn():
            return await self._reset(task, num_episodes)

    async def _reset(self, task: Task, num_episodes: int) -> list[dict[str, str]]:
        environment = self._environment
        self._hosted = await HostedFile.start(
            self._backend, "environment", environment.source, file_name=FILE_NAME, cpu_s=environment.episode_timeout_s
        )
        # Each instance gets a task of its own to change, hence the text.
        message: dict[str, object] = {"op": "reset", "task": json.dumps(task), "num_episodes": num_episodes}
        answer = await self._hosted.ask(message, environment.step_timeout_s)
        if "error" in answer:
            raise EnvironmentFailure(f"reset failed: {str(answer['error'])[:500]}")
        return opening_of(answer)

    async def step(self, actions: list[tuple[int, str]]) -> list[Stepped]:
        """One step of each of these episodes."""
        if self._hosted is None:
            raise EnvironmentFailure("the environment was not reset")
        message: dict[str, object] = {
            "op": "step", "actions": [{"episode": episode, "action": action} for episode, action in actions]
        }  # fmt: skip
        async with self._turn():
            answer = await self._hosted.ask(message, self._environment.step_timeout_s)
        results = cast("list[object] | None", answer.get("results"))
        if not isinstance(results, list) or len(results) != len(actions):
            raise EnvironmentFailure(f"step failed: {str(answer.get('error', 'no results'))[:500]}")
        return [stepped_of(result) for result in results]

    async def close(self) -> None:
        """Let the class tidy up, then end its sandbox."""
        hosted, self._hosted = self._hosted, None
        if hosted is None:
            return
        with contextlib.suppress(EnvironmentFailure, SandboxFailure):
            await hosted.ask({"op": "close"}, CLOSE_TIMEOUT_S)
        await hosted.close()
