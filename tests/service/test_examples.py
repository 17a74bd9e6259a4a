"""The examples are played for real: in sandboxes, and over HTTP."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from skyscale.envs.environment import Task
from skyscale.envs.environments import Environments
from skyscale.envs.registry import load_problem_set
from skyscale.errors import EnvironmentFailure, Invalid
from skyscale.sandboxes.loading import load_backend
from skyscale.wire.environments import HttpEnvironment, PythonEnvironment, RewardFileEnvironment

EXAMPLES = Path(__file__).parents[2] / "examples"
TASK: Task = {"id": "p", "prompt": "?", "seed": 11, "purpose": "train"}


@asynccontextmanager
async def environments(*origins: str) -> AsyncGenerator[Environments]:
    backend = load_backend(slots=2)
    async with backend:
        made = Environments(backend, concurrency=2, origins=origins)
        yield made
        await made.close()


def python(name: str, **changes: float) -> PythonEnvironment:
    source = (EXAMPLES / name / "environment.py").read_text()
    return PythonEnvironment.model_validate({"kind": "python", "source": source} | changes)


@pytest.fixture
def service() -> Generator[str]:
    """The game's service on a free port."""
    command = [sys.executable, str(EXAMPLES / "guess_the_number" / "service.py"), "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(10)
    process.stdout.close()


async def won(session: object, num_episodes: int = 2) -> float:
    """Play the game by halves in one episode and by nonsense in the other; the winner's reward."""
    (opening,) = await session.reset(TASK, num_episodes)  # type: ignore[attr-defined]
    assert "from 1 to 32" in opening["content"]
    low, high = 1, 32
    for _ in range(6):
        guess = (low + high) // 2
        mine, silly = await session.step([(0, f"I say {guess}!"), (1, "def f(): pass")])  # type: ignore[attr-defined]
        assert "not a number" in silly.observation and silly.reward == 0
        if mine.done:
            return mine.reward
        low, high = (guess + 1, high) if "higher" in mine.observation else (low, guess - 1)
    raise AssertionError("six halves are enough for 32 numbers")


async def test_the_game_is_won_in_a_sandbox_and_over_http_alike(service: str):
    async with environments(service) as made:
        await made.check(python("guess_the_number"), TASK)
        remote = HttpEnvironment(kind="http", url=service)
        await made.check(remote, TASK)
        rewards: list[float] = []
        for environment in (python("guess_the_number"), remote):
            session = made.session(environment, "grp-1")
            rewards.append(await won(session))
            await session.close()
            await session.close()
        assert rewards[0] == rewards[1] >= 0.75


async def test_word_problems_are_verified_and_may_be_tried_twice():
    async with environments() as made:
        session = made.session(python("arithmetic"), "grp-1")
        (opening,) = await session.reset(TASK, 3)
        numbers = list(map(int, re.findall(r"\d+", opening["content"])))
        answers = {numbers[0] * numbers[1], sum(numbers), numbers[0] * numbers[1] - numbers[-1],
                   numbers[0] + numbers[1] - numbers[-1], numbers[0] * numbers[-1]}  # fmt: skip
        found = 0.0
        for answer in answers:
            await session.close()
            await session.reset(TASK, 3)
            first = await session.step([(0, f"so it is #### {answer}"), (1, "#### none"), (2, "1e999 #### 0.5.5")])
            assert (first[1].reward, first[1].done) == (0.0, False)
            found = max(found, first[0].reward)
            if first[0].reward == 1.0:
                (second,) = await session.step([(1, f"{answer:,}")])
                assert (second.reward, second.done) == (0.5, True)
        assert found == 1.0, opening
        await session.close()


async def test_the_reward_file_scores_by_named_parts():
    source = (EXAMPLES / "same_program" / "reward.py").read_text()
    problem = next(p for p in load_problem_set().train("easy") if p.style == "calls")
    assert problem.solution is not None
    task = problem.model_dump(mode="json") | {"seed": 1}
    async with environments() as made:
        environment = RewardFileEnvironment(kind="reward_file", source=source)
        spaced = problem.solution.replace("\n", "  # by the book\n\n")
        candidates = [problem.solution, spaced, f"def {problem.entry_point}(a): 0", "def other(): pass", "def (", ""]
        same, laid_out, defined, other, broken, nothing = await made.scores(environment, task, candidates)
        assert same.parts == laid_out.parts == {"defined": 0.2, "same": 0.8}
        assert (same.reward, defined.reward, other.reward, broken.reward, nothing.reward) == (1.0, 0.2, 0.0, 0.0, 0.0)


HOSTILE = """
import os, sys
class Environment:
    def reset(self, task):
        self.task = task
        return "go"
    def step(self, action):
        if action == "loop":
            while True: pass
        if action == "die":
            os._exit(1)
        if action == "talk":
            return "x" * 10**8, 0.5, False
        if action == "look":
            return str(os.path.exists("/etc/passwd") or os.listdir("/tmp") or os.environ.get("HOME")), 0.5, True
        print("noise " * 100000)
        raise KeyError(action)
"""


@pytest.mark.parametrize(("action", "why"), [("loop", "took longer than 0.5 s"), ("die", "was ended")])
async def test_a_file_that_loops_or_dies_takes_its_group_with_it_in_time(action: str, why: str):
    async with environments() as made:
        environment = PythonEnvironment(kind="python", source=HOSTILE, step_timeout_s=0.5)
        session = made.session(environment, "grp-1")
        await session.reset(TASK, 2)
        with pytest.raises(EnvironmentFailure, match=why):
            async with asyncio.timeout(10):
                await session.step([(0, "fine"), (1, action)])
        with pytest.raises(EnvironmentFailure, match="has ended"):
            await session.step([(0, "fine")])
        await session.close()


async def test_what_a_file_says_or_sees_is_bounded():
    async with environments() as made:
        session = made.session(PythonEnvironment(kind="python", source=HOSTILE), "grp-1")
        await session.reset(TASK, 3)
        talk, look, noise = await session.step([(0, "talk"), (1, "look"), (2, "boo")])
        assert len(talk.observation) == 65536
        assert look.observation in ("None", "/tmp"), "no files of the host, no environment"
        assert "KeyError: 'boo' (environment.py, line 17)" in noise.trouble
        await session.close()


async def test_a_reset_must_begin_all_episodes_alike():
    source = (
        "import itertools\nn = itertools.count()\nclass Environment:\n  def reset(self, task): return str(next(n))\n"
    )
    source += "  def step(self, action): return '', 0, True"
    async with environments() as made:
        with pytest.raises(Invalid, match="task\\['seed'\\]"):
            await made.check(PythonEnvironment(kind="python", source=source), TASK)


async def test_a_service_that_is_away_or_talks_nonsense_is_trouble(service: str):
    async with environments(service, "http://127.0.0.1:9") as made:
        with pytest.raises(Invalid, match="does not answer"):
            await made.check(HttpEnvironment(kind="http", url="http://127.0.0.1:9"), TASK)
        with pytest.raises(Invalid, match="404"):
            await made.check(HttpEnvironment(kind="http", url=f"{service}/elsewhere"), TASK)
        session = made.session(HttpEnvironment(kind="http", url=service, step_timeout_s=5), "grp-1")
        await session.reset(TASK, 1)
        await session.close()
        (step,) = await session.step([(0, "1")])
        assert "does not answer" in step.trouble, "the episode was closed: the service fails"
