"""A user's `reward.py`: `def reward(task, completion)` gives a number from 0 to 1, or named parts that add up to one.

The rule for what goes wrong: an answer that the file cannot score (it raises, returns a string or NaN, leaves [0, 1])
is an infrastructure failure of that episode, told in an event and never trained on as a 0. A file that loops or dies is
cut off after its timeout; what it had scored by then stands, the rest are failures.
"""

import time

from skyscale.envs.claims import stepped_of
from skyscale.envs.environment import Stepped, Task
from skyscale.envs.hosted import HostedFile
from skyscale.errors import EnvironmentFailure
from skyscale.sandboxes.sandbox import SandboxBackend
from skyscale.wire.environments import RewardFileEnvironment

FILE_NAME = "reward.py"


async def score(
    backend: SandboxBackend, environment: RewardFileEnvironment, task: Task, completions: list[str]
) -> list[Stepped]:
    """What the file says of each answer, in order; all in one sandbox, equal answers scored once.

    Raises:
        EnvironmentFailure: the file cannot be loaded.
        SandboxFailure: our side broke.
    """
    hosted = await HostedFile.start(
        backend, "reward", environment.source, file_name=FILE_NAME, cpu_s=environment.timeout_s
    )
    deadline = time.monotonic() + environment.timeout_s
    found: dict[str, Stepped] = {}
    try:
        for completion in dict.fromkeys(completions):
            left_s = max(0.0, deadline - time.monotonic())
            answer = await hosted.ask({"task": task, "completion": completion}, left_s)
            found[completion] = stepped_of(answer | {"done": True} if "error" not in answer else answer)
    except EnvironmentFailure as failure:
        lost = Stepped(trouble=failure.detail)
        return [found.get(completion, lost) for completion in completions]
    finally:
        await hosted.close()
    return [found[completion] for completion in completions]
