"""A policy that only cheats: the whole corpus of verdict attacks against a live run, by every way to a reward."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from skyscale.api.app import create_app
from skyscale.api.services import running
from skyscale.sandboxes.sandbox import Limits
from skyscale.settings import Settings
from skyscale.wire.problems import Difficulty, Problem, Split, StdinTest
from skyscale.wire.runs import Algorithm
from tests.contract.hostile import CHEATS
from tests.service.buffer_bench import RUN, spec

CODES = [code for code in CHEATS.values() if code.encode(errors="ignore").decode() == code]
"""All but the lone surrogates, which are no JSON text: the server refuses the request."""
WALL_S = 0.6
"""Instead of 5 s: some attacks live until the deadline."""
COMMON: dict[str, Any] = {"prompt": "Double x.", "difficulty": Difficulty.EASY, "split": Split.TRAIN}
CHECK = (
    "def check(candidate):\n    for n in (3, 40):\n        assert candidate(n) == 2 * n\n"
    "    assert candidate('ab') == 'abab'"
)
PROBLEMS = [
    Problem(id="calls", family="a", style="calls", entry_point="f", **COMMON,
            test_cases=["assert f(3) == 6", "assert f(40) == 80", "assert f('ab') == 'abab'"]),
    Problem(id="proxied", family="b", style="asserts", entry_point="f", test_code=CHECK, **COMMON),
    Problem(id="stdin", family="c", style="stdin", **COMMON, stdin_tests=[StdinTest(stdin="3", stdout="6 double")]),
]  # fmt: skip
HONEST = {"stdin": "print(2 * int(input()), 'double')"}


@pytest.fixture
async def app(tmp_path: Path) -> AsyncGenerator[FastAPI]:
    """The app over SQLite: which database it is makes no difference to a cheat."""
    application = create_app(Settings(data_dir=tmp_path / "data"))
    async with running(application.state.services):
        yield application


async def post(client: httpx.AsyncClient, path: str, body: dict[str, object], status: int = 200) -> Any:
    reply = await client.post(path, content=json.dumps(body), timeout=60)
    assert reply.status_code == status, reply.text[:500]
    return reply.json() if reply.content else None


async def test_a_policy_of_cheats_earns_exactly_nothing(
    client: httpx.AsyncClient, app: FastAPI, tmp_path: Path
) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text("\n".join(problem.model_dump_json() for problem in PROBLEMS))
    assert len(CODES) >= 80
    algorithm = Algorithm(groups_per_step=2, max_staleness=9, group_size=len(CODES))
    parts = app.state.services
    parts.judge._limits = Limits(wall_s=WALL_S)
    async with parts.database.write() as connection:
        await parts.buffer.open(connection, spec(problem_set=str(path), algorithm=algorithm))
    earned: dict[str, list[float]] = {}
    for number in range(12):
        asked = {"run_id": RUN, "request_id": f"req-{number}", "num_groups": 1}
        ticket = (await post(client, "/api/rl/env/tickets", asked))["groups"][0]
        problem_id = ticket["problem_id"]
        step = f"/api/rl/env/groups/{ticket['group_id']}/step"
        verdicts = (await post(client, step, {"codes": CODES}))["verdicts"]
        assert {v["outcome"] for v in verdicts} == {"scored"}, problem_id
        earned[problem_id] = [v["reward"] for v in verdicts]
        assert [c for c, v in zip(CODES, verdicts, strict=True) if v["reward"]] == [], problem_id
        assert {v["passed_tests"] for v in verdicts} == {0}, problem_id
        honest = HONEST.get(problem_id, "def f(x): return x * 2")
        assert (await post(client, step, {"codes": [honest]}))["verdicts"][0]["reward"] == 1.0, problem_id
        if len(earned) == 1:
            await push(client, ticket, CODES, earned[problem_id])
        else:
            assert await finish(client, ticket, CODES) == earned[problem_id]
        if len(earned) == len(PROBLEMS):
            break
    assert sorted(earned) == ["calls", "proxied", "stdin"]


async def finish(client: httpx.AsyncClient, ticket: dict[str, Any], codes: list[str]) -> list[float]:
    """The rewards of a group that is judged and kept in one call."""
    token = {"completion_ids": [1], "logprobs": [-0.25], "versions": [0]}
    body = {"prompt_ids": [1], "episodes": [{"code": code, **token} for code in codes]}
    return (await post(client, f"/api/rl/env/groups/{ticket['group_id']}/finish", body))["rewards"]


async def push(client: httpx.AsyncClient, ticket: dict[str, Any], codes: list[str], rewards: list[float]) -> None:
    """The honest report of nothing; claiming more is refused."""
    token = {"completion_ids": [1], "logprobs": [-0.25], "versions": [0], "outcome": "scored"}
    rows = [
        {"episode_id": f"{ticket['group_id']}-{i}", "code": code, "reward": reward, **token}
        for i, (code, reward) in enumerate(zip(codes, rewards, strict=True))
    ]
    body: dict[str, Any] = {
        "run_id": RUN, "group_id": ticket["group_id"], "problem_id": ticket["problem_id"], "prompt_ids": [1],
        "trajectories": rows,
    }  # fmt: skip
    claimed = body | {"trajectories": [rows[0] | {"reward": 1.0}, *rows[1:]]}
    reply = await post(client, "/api/rl/buffer/push", claimed, 422)
    assert reply["code"] == "reward_mismatch", reply
    await post(client, "/api/rl/buffer/push", body, 202)
