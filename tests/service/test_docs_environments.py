"""The blocks of docs/environments.md work as they stand."""

import json
import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from skyscale.cli.main import cli
from skyscale.envs.environments import Environments
from skyscale.sandboxes.loading import load_backend
from skyscale.wire.environments import PythonEnvironment, RewardFileEnvironment
from skyscale.wire.runs import RunCreate

PAGE = (Path(__file__).parents[2] / "docs" / "environments.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


async def test_the_files_of_the_page_pass_the_check_before_a_run():
    reward, environment = blocks("python")
    backend = load_backend(slots=2)
    async with backend:
        made = Environments(backend, concurrency=2, origins=())
        task = {"id": "p", "seed": 1}
        await made.check(RewardFileEnvironment(kind="reward_file", source=reward), task)
        (scored,) = await made.scores(RewardFileEnvironment(kind="reward_file", source=reward), task, ["please"])
        assert scored.reward == 1.0
        session = made.session(PythonEnvironment(kind="python", source=environment), "grp-1")
        await session.reset(task, 1)
        (step,) = await session.step([(0, "123456789")])
        assert (step.reward, step.done) == (1.0, True)
        await session.close()
        await made.close()


def test_the_requests_and_flags_of_the_page_are_understood():
    (request,) = blocks("json")
    assert RunCreate.model_validate(json.loads(request)).max_turns == 2
    (command,) = blocks("bash")
    arguments = [part for part in shlex.split(command)[1:] if part != "--watch"]
    result = CliRunner().invoke(cli, [*arguments, "--url", "http://127.0.0.1:9"])
    assert "no control plane at" in result.output + str(result.exception), (
        "the flags are right, and nobody listens there"
    )
