"""Rollouts through the HTTP API: real judge, real pushes, both databases."""

import io
from typing import Any

import httpx
import orjson
import pyarrow.parquet
import pytest
from fastapi import FastAPI

from skyscale.api.services import Services
from skyscale.envs.registry import load_problem_set
from skyscale.rollouts.rules import Retention
from skyscale.rollouts.sweeper import Sweeper
from skyscale.wire.episodes import Purpose
from tests.service.buffer_bench import RUN, spec

BROKEN = "def nothing(:\n"


@pytest.fixture
def parts(app: FastAPI) -> Services:
    return app.state.services


@pytest.fixture
async def run(parts: Services) -> str:
    algorithm = spec().algorithm.model_copy(update={"groups_per_step": 8})
    async with parts.database.write() as connection:
        await parts.buffer.open(connection, spec(algorithm=algorithm))
    return RUN


async def play(client: httpx.AsyncClient, number: int, *, outcome: str = "scored", note: str = "") -> list[str]:
    """Groups of a right, a wrong and a broken program, in the order of their push."""
    asked = {"run_id": RUN, "request_id": f"req-{number}-{note}-{outcome}", "num_groups": number}
    tickets = (await client.post("/api/rl/env/tickets", json=asked)).json()["groups"]
    for ticket in tickets:
        problem = load_problem_set().get(ticket["problem_id"])
        codes = [problem.solution or "", problem.wrong_solutions[0], BROKEN]
        url = f"/api/rl/env/groups/{ticket['group_id']}/step"
        verdicts = (await client.post(url, json={"codes": codes})).json()["verdicts"]
        rows = [
            {
                "episode_id": f"{ticket['group_id']}.{i}", "code": code, "text": f"{note} Ärger\n{code}",
                "completion_ids": [5, 300], "logprobs": [-0.25, -1.5], "versions": [0, 1],
                "outcome": outcome if i == 1 else "scored",
                **{name: verdicts[i][name] for name in ("reward", "passed_tests", "total_tests")},
            }
            for i, code in enumerate(codes)
        ]  # fmt: skip
        named = {
            "run_id": RUN,
            "group_id": ticket["group_id"],
            "problem_id": ticket["problem_id"],
            "prompt_ids": [1, 2],
        }
        pushed = await client.post("/api/rl/buffer/push", json=named | {"trajectories": rows})
        assert pushed.status_code == 202, pushed.text
    return [ticket["group_id"] for ticket in tickets]


async def listed(client: httpx.AsyncClient, **params: object) -> list[str]:
    reply = await client.get(f"/api/rl/runs/{RUN}/rollouts", params=params)  # pyright: ignore[reportArgumentType]
    assert reply.status_code == 200, reply.text
    return [row["group_id"] for row in reply.json()["rollouts"]]


async def test_a_group_is_shown_with_tests_output_tokens_and_reward_parts(client: httpx.AsyncClient, run: str) -> None:
    (group_id,) = await play(client, 1)
    detail = (await client.get(f"/api/rl/runs/{run}/rollouts/{group_id}")).json()
    problem = load_problem_set().get(detail["rollout"]["problem_id"])
    assert detail["messages"] == [{"role": "user", "content": problem.prompt}]
    assert "solution" not in detail["problem"] and len(detail["problem"]["test_cases"]) == problem.num_examples
    right, wrong, broken = detail["completions"]
    assert (right["reward"], right["reward_parts"]) == (1.0, {"tests": 1.0, "length": 0.0})
    assert [test["status"] for test in right["tests"]] == ["passed"] * right["total_tests"]
    assert 0 < sum(not test["passed"] for test in wrong["tests"]) == wrong["total_tests"] - wrong["passed_tests"]
    assert {test["status"] for test in broken["tests"]} == {"syntax_error"}
    assert "SyntaxError" in broken["stderr"] + broken["tests"][0]["detail"]
    assert right["tokens"] == right["tokens"] | {"ids": [5, 300], "logprobs": [-0.25, -1.5], "versions": [0, 1]}
    assert len(right["tokens"]["strings"]) == 2 and all(right["tokens"]["strings"])
    assert (right["min_version"], right["max_version"], right["num_tokens"]) == (0, 1, 2)
    light = (await client.get(f"/api/rl/runs/{run}/rollouts/{group_id}", params={"tokens": "false"})).json()
    assert light["completions"][0]["tokens"] is None and light["prompt_ids"] is None
    row = detail["rollout"]
    assert (row["num_passed"], row["reward_max"], row["num_truncated"], row["has_content"]) == (1, 1.0, 0, True)


async def test_lists_are_newest_first_filtered_and_paged(client: httpx.AsyncClient, run: str) -> None:
    plain = await play(client, 3)
    cut = await play(client, 2, outcome="truncated", note="needle")
    everything = [*reversed(cut), *reversed(plain)]
    assert await listed(client) == everything
    assert await listed(client, outcome="truncated") == everything[:2]
    assert await listed(client, text="NEEDLE ä") == everything[:2]
    assert await listed(client, text="no such text") == []
    assert await listed(client, purpose="eval") == [] == await listed(client, min_version=1)
    assert await listed(client, max_version=0, purpose="train", min_reward=0.01, max_reward=0.99) == everything
    assert await listed(client, min_reward=0.99) == []
    page = (await client.get(f"/api/rl/runs/{run}/rollouts")).json()["rollouts"]
    same = [row["group_id"] for row in page if row["problem_id"] == page[0]["problem_id"]]
    assert await listed(client, problem=page[0]["problem_id"]) == same
    walked, cursor = list[str](), None
    while cursor is not None or not walked:
        params: dict[str, Any] = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        reply = (await client.get(f"/api/rl/runs/{run}/rollouts", params=params)).json()
        walked += [row["group_id"] for row in reply["rollouts"]]
        cursor = reply["next_cursor"]
    assert walked == everything


async def test_bad_questions_are_refused(client: httpx.AsyncClient, run: str) -> None:
    path = f"/api/rl/runs/{run}/rollouts"
    for url, params, status in [
        (path, {"cursor": "!!"}, 400), (path, {"cursor": "YWJj"}, 400), (path, {"min_reward": "nan"}, 422),
        (path, {"outcome": "lucky"}, 422), (path, {"limit": "0"}, 422), (f"{path}/grp-none", {}, 404),
        ("/api/rl/runs/rl-none/rollouts", {}, 404), ("/api/rl/runs/rl-none/rollouts.parquet", {}, 404),
    ]:  # fmt: skip
        reply = await client.get(url, params=params)
        assert reply.status_code == status, (url, params, reply.text)
        assert reply.json()["hint"]


async def test_an_export_reads_back_as_one_row_per_completion(
    client: httpx.AsyncClient, run: str, parts: Services
) -> None:
    groups = await play(client, 2)
    async with parts.database.write() as connection:
        await connection.run_sync(lambda sync: _insert_run(sync, run))
    reply = await client.get(f"/api/rl/runs/{run}/rollouts.parquet")
    assert reply.status_code == 200, reply.text
    rows = pyarrow.parquet.read_table(io.BytesIO(reply.content)).to_pylist()
    assert [row["group_id"] for row in rows] == [groups[1]] * 3 + [groups[0]] * 3
    assert [row["reward"] == 1.0 for row in rows] == [True, False, False] * 2
    assert rows[0]["completion_ids"] == [5, 300] and rows[0]["logprobs"] == [-0.25, -1.5] and rows[0]["step"] == 0
    assert rows[0]["prompt"] == load_problem_set().get(rows[0]["problem_id"]).prompt
    assert orjson.loads(rows[0]["reward_parts"]) == {"tests": 1.0, "length": 0.0}
    nothing = await client.get(f"/api/rl/runs/{run}/rollouts.parquet", params={"text": "no such text"})
    assert pyarrow.parquet.read_table(io.BytesIO(nothing.content)).num_rows == 0


def _insert_run(connection: Any, run_id: str) -> None:
    from sqlalchemy import insert

    from skyscale.store.tables.runs import runs
    from skyscale.wire.base import utc_now

    row = {"run_id": run_id, "request_sha256": "0" * 64, "spec": spec().model_dump(mode="json"), "status": "stopped"}
    numbers = dict.fromkeys(("has_jobs", "serving_version", "newest_version"), 0)
    asked = dict.fromkeys(("evaluation_asked", "evaluation_done"), -1)
    connection.execute(insert(runs).values(**row, **numbers, **asked, created_at=utc_now(), updated_at=utc_now()))


async def test_the_sweep_keeps_the_newest_a_sample_and_whatever_may_still_be_trained_on(
    client: httpx.AsyncClient, run: str, parts: Services
) -> None:
    groups = await play(client, 12)
    lease = {"run_id": run, "num_groups": 8, "lease_s": 60}
    batch = (await client.post("/api/rl/buffer/sample", json=lease)).json()
    sweeper = Sweeper(parts.database, Retention(keep=2, sample_every=3))
    assert await sweeper.sweep() == 0  # leased and waiting groups stay, however old
    await client.post("/api/rl/buffer/ack", json={"run_id": run, "lease_id": batch["lease_id"]})
    async with parts.database.write() as connection:
        await parts.buffer.published(connection, run, 1, [batch["lease_id"]])
    sweeper = Sweeper(parts.database, Retention(keep=2, sample_every=3))
    assert await sweeper.sweep() == 5 and await sweeper.sweep() == 0
    rows = (await client.get(f"/api/rl/runs/{run}/rollouts")).json()["rollouts"]
    swept = {row["group_id"] for row in rows if not row["has_content"]}
    assert len(rows) == 12 and swept == {groups[i] for i in (1, 2, 4, 5, 7)}
    detail = (await client.get(f"/api/rl/runs/{run}/rollouts/{groups[1]}")).json()
    assert detail["completions"] is None and detail["rollout"]["reward_mean"] is not None
    assert len((await client.get(f"/api/rl/runs/{run}/rollouts/{groups[0]}")).json()["completions"]) == 3


async def test_evaluations_of_the_base_model_are_never_swept(
    client: httpx.AsyncClient, run: str, parts: Services
) -> None:
    for version in (0, 1, 2):
        async with parts.database.write() as connection:
            await parts.episodes.evaluations.request(connection, spec(), version)
        for ticket in (
            await client.post(
                "/api/rl/env/tickets", json={"run_id": run, "request_id": f"req-{version}", "num_groups": 20}
            )
        ).json()["groups"]:
            if ticket["purpose"] != Purpose.EVAL:
                continue
            row = {"completion_ids": [1], "logprobs": [-1.0], "versions": [version], "reward": 0.5, "outcome": "scored"}
            body = {
                "run_id": run,
                "group_id": ticket["group_id"],
                "problem_id": ticket["problem_id"],
                "prompt_ids": [1],
            }
            rows = [row | {"episode_id": f"{ticket['group_id']}.0", "code": "pass"}]
            await client.post("/api/rl/buffer/push", json=body | {"trajectories": rows})
    assert await Sweeper(parts.database, Retention(keep=3, sample_every=1)).sweep() == 3
    rows = (await client.get(f"/api/rl/runs/{run}/rollouts", params={"purpose": "eval"})).json()["rollouts"]
    assert {row["version"]: row["has_content"] for row in rows} == {0: True, 1: False, 2: True}
