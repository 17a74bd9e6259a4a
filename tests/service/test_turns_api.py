"""Groups that are played by turns, through the real app, with real sandboxes."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from skyscale.api.services import Services
from skyscale.envs.registry import load_problem_set
from skyscale.settings import Settings
from skyscale.wire.environments import CodeEnvironment, PythonEnvironment, RewardFileEnvironment
from skyscale.wire.runs import RunSpec
from tests.service.buffer_bench import RUN, spec

PROBLEMS = load_problem_set()
GUESS = (Path(__file__).parents[2] / "examples" / "guess_the_number" / "environment.py").read_text()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """SQLite is enough: nothing here is about the database."""
    return Settings(data_dir=tmp_path / "data", environment_sessions=2)


@pytest.fixture
def parts(app: FastAPI) -> Services:
    return app.state.services


async def opened(parts: Services, **changes: object) -> RunSpec:
    run = spec(**changes)
    async with parts.database.write() as connection:
        await parts.buffer.open(connection, run)
    return run


async def post(client: httpx.AsyncClient, path: str, body: Any = None, status: int = 200) -> Any:
    reply = await client.post(f"/api/rl/{path}", json=body)
    assert reply.status_code == status, reply.text
    return reply.json() if reply.content else None


async def tickets(client: httpx.AsyncClient, number: int = 1) -> list[dict[str, Any]]:
    body = {"run_id": RUN, "request_id": f"req-{number}-{id(body := object())}", "num_groups": number}
    return (await post(client, "env/tickets", body))["groups"]


async def turn(client: httpx.AsyncClient, ticket: dict[str, Any], number: int, actions: list[dict[str, Any]]) -> Any:
    body = {"turn": number, "actions": actions}
    return (await post(client, f"env/groups/{ticket['group_id']}/turn", body))["results"]


def pushed(ticket: dict[str, Any], rewards: list[float]) -> dict[str, Any]:
    """A push of two-token episodes of one turn."""
    rows = [
        {
            "episode_id": f"{ticket['group_id']}.{i}", "code": "", "completion_ids": [1, 2], "logprobs": [-0.5, -0.5],
            "versions": [0, 0], "reward": reward, "outcome": "scored",
            "turns": [{"start": 0, "end": 2, "reward": reward}],
        }
        for i, reward in enumerate(rewards)
    ]  # fmt: skip
    return {"run_id": RUN, "group_id": ticket["group_id"], "problem_id": ticket["problem_id"], "prompt_ids": [1],
            "trajectories": rows}  # fmt: skip


async def test_a_program_that_fails_is_told_why_and_may_be_written_again(
    parts: Services, client: httpx.AsyncClient
) -> None:
    await opened(parts, max_turns=2, difficulty="hard", environment=CodeEnvironment(repeat_prompt=True))
    granted = await tickets(client)
    ticket, problem = next((t, PROBLEMS.get(t["problem_id"])) for t in granted)
    assert (ticket["environment"], ticket["max_turns"]) == ("code", 2)
    spy = f"import sys\ndef {problem.entry_point}(*a):\n    print(a, file=sys.stderr)\n    raise KeyError(a)"
    first = await turn(
        client,
        ticket,
        0,
        [{"episode": 0, "text": "x", "code": problem.solution}, {"episode": 1, "text": "y", "code": spy}],
    )
    assert (first[0]["done"], first[0]["episode_reward"], first[0]["observation"]) == (True, 1.0, "")
    assert (first[1]["done"], first[1]["episode_reward"]) == (False, 0.0)
    told = first[1]["observation"]
    assert problem.test_cases[0] in told and "KeyError" in told and told.endswith(problem.prompt)
    for hidden in problem.test_cases[problem.num_examples :]:
        inputs = hidden.partition("(")[2].partition(") ==")[0]
        assert inputs not in told.replace(problem.test_cases[0], "").replace(problem.prompt, ""), "hidden inputs leak"
    second = await turn(client, ticket, 1, [{"episode": 1, "text": "z", "code": problem.solution}])
    assert (second[0]["done"], second[0]["episode_reward"]) == (True, 1.0)
    await post(
        client, f"env/groups/{ticket['group_id']}/turn", {"turn": 2, "actions": [{"episode": 1, "text": ""}]}, 422
    )
    mismatch = await post(client, "buffer/push", pushed(ticket, [1.0, 0.25]), 422)
    assert mismatch["code"] == "reward_mismatch"
    assert (await post(client, "buffer/push", pushed(ticket, [1.0, 1.0]), 202))["accepted"] == 2


async def test_a_game_is_played_in_the_users_own_environment(parts: Services, client: httpx.AsyncClient) -> None:
    await opened(parts, max_turns=8, environment=PythonEnvironment(kind="python", source=GUESS))
    (ticket,) = await tickets(client)
    group = f"env/groups/{ticket['group_id']}"
    opening = await post(client, f"{group}/open")
    assert opening == await post(client, f"{group}/open"), "asked again, the same"
    assert "1" in opening["messages"][0]["content"]
    low, high, number, results = 1, 32, 0, []
    while not results or not results[0]["done"]:
        guess = (low + high) // 2
        results = await turn(client, ticket, number, [{"episode": 0, "text": f"my guess: {guess}"}])
        again = await turn(client, ticket, number, [{"episode": 0, "text": f"my guess: {guess}"}])
        assert again == results, "a repeated turn is not played twice"
        low, high = (guess + 1, high) if "higher" in results[0]["observation"] else (low, guess - 1)
        number += 1
    assert results[0]["reward"] == results[0]["episode_reward"] > 0.5
    assert (results[0]["outcome"], results[0]["observation"]) == ("scored", "")
    await post(client, f"{group}/turn", {"turn": number, "actions": [{"episode": 0, "text": "1"}]}, 409)
    await post(client, f"{group}/close", None, 204)
    lost = await post(client, f"{group}/turn", {"turn": 0, "actions": [{"episode": 1, "text": "1"}]}, 409)
    assert lost["code"] == "session_lost"


async def test_open_environments_are_bounded_and_end_by_themselves(
    parts: Services, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skyscale.episodes.sessions.GRACE_S", 0.0)
    await opened(parts, max_turns=2, environment=PythonEnvironment(kind="python", source=GUESS, episode_timeout_s=1.0))
    first, second, third = await tickets(client, 3)
    for ticket in (first, second):
        await post(client, f"env/groups/{ticket['group_id']}/open")
    refused = await post(client, f"env/groups/{third['group_id']}/open", None, 429)
    assert "2 environments" in refused["detail"]
    async with asyncio.timeout(20):
        while (await client.post(f"/api/rl/env/groups/{third['group_id']}/open")).status_code == 429:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_trouble_of_a_reward_file_drops_episodes_and_is_told_once_in_a_while(
    parts: Services, client: httpx.AsyncClient
) -> None:
    source = "def reward(task, completion):\n    return {'good': 0.5, 'bad': float(completion)}"
    run = await opened(parts, environment=RewardFileEnvironment(kind="reward_file", source=source))
    for ticket in await tickets(client, 2):
        actions = [{"episode": i, "text": text} for i, text in enumerate(("0.25", "nan", "x", "7"))]
        results = await turn(client, ticket, 0, actions)
        assert [r["outcome"] for r in results] == ["scored"] + ["infrastructure_failure"] * 3
        assert (results[0]["reward"], results[0]["parts"]) == (0.75, {"good": 0.5, "bad": 0.25})
    events = [e for e in await parts.events.list(run.run_id) if e.kind == "environment.failed"]
    assert len(events) == 1 and "3 episode(s)" in events[0].message and "nan" in events[0].message


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"kind": "reward_file", "source": "def reward(t, c)\n  pass"}, "SyntaxError"),
    ({"kind": "reward_file", "source": "def score(t, c):\n  return 1"}, "no function `reward"),
    ({"kind": "reward_file", "source": "def reward(t, c):\n  return 'good'"}, "must be a number"),
    ({"kind": "reward_file", "source": "def reward(t, c):\n  while True: pass", "timeout_s": 0.5}, "took longer"),
    ({"kind": "reward_file", "source": "x = 1\n" * 40000}, "at most 65536"),
    (
        {"kind": "python", "source": "class Environment:\n  def reset(self, task): return 1\n  step = reset"},
        "must return text",
    ),
    ({"kind": "python", "source": "import torch"}, "ModuleNotFoundError"),
    ({"kind": "http", "url": "http://127.0.0.1:9/x"}, "SKYSCALE_ENVIRONMENT_ORIGINS"),
    ({"kind": "http", "url": "ftp://127.0.0.1/x"}, "http or https"),
    ({"kind": "magic"}, "environment"),
]


@pytest.mark.parametrize(("environment", "why"), REFUSED, ids=[why for _, why in REFUSED])
async def test_an_environment_that_cannot_work_is_refused_at_creation(
    client: httpx.AsyncClient, environment: dict[str, object], why: str
) -> None:
    refused = await post(client, "runs", {"environment": environment, "dry_run": True}, 422)
    assert why in str(refused)


async def test_a_good_environment_is_part_of_the_runs_specification(client: httpx.AsyncClient) -> None:
    body = {"environment": {"kind": "python", "source": GUESS}, "max_turns": 6, "dry_run": True}
    reply = await client.post("/api/rl/runs", json=body)
    assert reply.status_code in (200, 202), reply.text
    assert reply.json()["spec"]["environment"]["source"] == GUESS
    both = {"environment": {"kind": "reward_file", "source": "def reward(t, c): return 1"}, "max_turns": 2}
    assert "set max_turns to 1" in str(await post(client, "runs", both, 422))
