"""The environment and the buffer through the HTTP API, with real sandboxes, on both databases."""

import asyncio
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI

from skyscale.api.services import Services
from skyscale.envs.registry import load_problem_set
from tests.service.buffer_bench import RUN, spec

EASY = next(p for p in load_problem_set().train("easy") if p.style == "calls")


@pytest.fixture
def parts(app: FastAPI) -> Services:
    return app.state.services


@pytest.fixture
async def run(parts: Services) -> str:
    async with parts.database.write() as connection:
        await parts.buffer.open(connection, spec())
    return RUN


async def post(client: httpx.AsyncClient, path: str, body: dict[str, object], status: int = 200) -> Any:
    reply = await client.post(path, json=body)
    assert reply.status_code == status, reply.text
    return reply.json() if reply.content else None


async def test_an_episode_is_reset_stepped_and_closed(client: httpx.AsyncClient) -> None:
    episode = await post(client, "/api/rl/env/reset", {"problem_id": EASY.id})
    assert episode["prompt"] == EASY.prompt
    assert episode["test_cases"] == EASY.test_cases[: EASY.num_examples]
    step = {"sandbox_id": episode["sandbox_id"], "code": EASY.solution}
    verdict = await post(client, "/api/rl/env/step", step)
    assert (verdict["reward"], verdict["passed_tests"], verdict["outcome"]) == (1.0, len(EASY.test_cases), "scored")
    wrong = await post(client, "/api/rl/env/step", step | {"code": EASY.wrong_solutions[0]})
    assert wrong["reward"] < 1
    for _ in range(2):
        await post(client, "/api/rl/env/close", {"sandbox_id": episode["sandbox_id"]}, 204)
    gone = await post(client, "/api/rl/env/step", step, 410)
    assert gone["code"] == "episode_closed"


def played(*codes: str, **changes: object) -> dict[str, object]:
    token = {"completion_ids": [5, 6], "logprobs": [-0.5, -0.25], "versions": [0, 0]}
    return {"prompt_ids": [1, 2], "episodes": [{"code": code, **token, **changes} for code in codes]}


async def test_a_group_is_judged_and_kept_in_one_call_that_may_be_repeated(
    client: httpx.AsyncClient, run: str, parts: Services
) -> None:
    asked = {"run_id": run, "request_id": "req-1", "num_groups": 1}
    (ticket,) = (await post(client, "/api/rl/env/tickets", asked))["groups"]
    solution = load_problem_set().get(ticket["problem_id"]).solution
    path, body = f"/api/rl/env/groups/{ticket['group_id']}/finish", played(solution, "def f(")
    first, again = [await post(client, path, body) for _ in range(2)]
    assert first == {"rewards": [1.0, 0.0], "outcomes": ["scored"] * 2, "accepted": 2, "duplicates": 0}
    assert again == first | {"accepted": 0, "duplicates": 2}
    batch = await post(client, "/api/rl/buffer/sample", {"run_id": run, "num_groups": 1, "lease_s": 9})
    (group,) = batch["groups"]
    assert [t["reward"] for t in group["trajectories"]] == [1.0, 0.0]
    assert (group["prompt_ids"], group["trajectories"][0]["completion_ids"]) == ([1, 2], [5, 6])

    (late,) = (await post(client, "/api/rl/env/tickets", asked | {"request_id": "req-2"}))["groups"]
    claimed = played(solution, reward=1.0)
    refused = await post(client, f"/api/rl/env/groups/{late['group_id']}/finish", claimed, 422)
    assert "reward" in refused["detail"]
    async with parts.database.write() as connection:
        await parts.buffer.close(connection, run)
    gone = await post(client, f"/api/rl/env/groups/{late['group_id']}/finish", played(solution, solution), 410)
    assert gone["code"] == "run_closed"


BAD: list[tuple[str, dict[str, object], int, str]] = [
    ("env/reset", {"difficulty": "impossible"}, 422, "difficulty"),
    ("env/reset", {"problem_id": "no-such"}, 404, "no-such"),
    ("env/reset", {"run_id": "rl-nobody"}, 404, "rl-nobody"),
    ("env/reset", {"problem_id": EASY.id, "difficulty": "hard"}, 422, "difficulty"),
    ("env/step", {"sandbox_id": "sb-none", "code": ""}, 404, "sb-none"),
    ("env/step", {"sandbox_id": "sb-none", "code": "", "test_cases": ["assert True"]}, 422, "test_cases"),
    ("env/close", {"sandbox_id": "sb-none"}, 404, "sb-none"),
    ("env/tickets", {"run_id": "rl-nobody", "request_id": "req-1"}, 404, "rl-nobody"),
    ("env/tickets", {"run_id": RUN, "request_id": "req-1", "num_groups": -1}, 422, "num_groups"),
    ("env/groups/grp-nobody/step", {"codes": [""]}, 404, "grp-nobody"),
    ("env/groups/grp-nobody/finish", played(""), 404, "grp-nobody"),
    ("env/groups/grp-nobody/finish", played("", logprobs=[-0.5]), 422, "one entry per sampled token"),
    ("buffer/sample", {"run_id": "rl-nobody"}, 404, "rl-nobody"),
    ("buffer/sample", {"run_id": RUN, "lease_s": 5}, 422, "num_groups"),
    ("buffer/sample", {"run_id": RUN, "lease_s": 5, "num_groups": 4000}, 422, "num_groups"),
    ("buffer/ack", {"run_id": RUN, "lease_id": "lease-none"}, 404, "lease-none"),
    ("buffer/push", {"run_id": RUN, "problem_id": "p", "prompt": "", "code": "", "reward": 7}, 422, "reward"),
]


async def test_bad_input_is_refused_with_the_reason(client: httpx.AsyncClient, run: str) -> None:
    del run
    for path, body, status, named in BAD:
        problem = await post(client, f"/api/rl/{path}", body, status)
        assert named in problem["detail"], (path, body)
        assert problem["hint"]


async def test_a_group_is_played_judged_pushed_leased_and_evaluated(
    client: httpx.AsyncClient, run: str, parts: Services
) -> None:
    async with parts.database.write() as connection:
        for _ in range(2):
            await parts.episodes.evaluations.request(connection, spec(), 0)
    asked = {"run_id": run, "request_id": "req-1", "num_groups": 9}
    groups = (await post(client, "/api/rl/env/tickets", asked))["groups"]
    assert [g["purpose"] for g in groups] == ["eval"] * 3 + ["train"] * 2
    assert len({g["problem_id"] for g in groups[:3]}) == 3
    assert groups == [g | {"expires_in_s": groups[i]["expires_in_s"]} for i, g in enumerate(
        (await post(client, "/api/rl/env/tickets", asked))["groups"])]  # fmt: skip
    groups, train = groups[:3], groups[3:]
    await asyncio.gather(*(play(client, run, ticket) for ticket in groups))
    async with parts.database.read() as connection:
        result = await parts.episodes.evaluations.result(connection, run, 0)
        assert result is not None and await parts.episodes.evaluations.results(connection, run) == [result]
    assert (result.num_problems, result.num_episodes) == (3, 6)
    assert 0.5 <= result.reward < 1
    assert [(each.k, each.value, each.num_problems) for each in result.pass_at] == [(1, 0.5, 3), (2, 1.0, 3)]
    assert sum(part.num_problems for part in result.by_difficulty) == 3
    samples = (await client.get(f"/api/rl/runs/{run}/evaluations/0")).json()["samples"]
    assert [s["problem_id"] for s in samples] == [g["problem_id"] for g in groups for _ in range(2)]
    assert [s["reward"] == 1 for s in samples] == [True, False] * 3

    groups = train + (await post(client, "/api/rl/env/tickets", asked | {"request_id": "req-2"}))["groups"]
    assert [g["purpose"] for g in groups] == ["train"] * 4
    assert groups[0]["messages"] == [
        {"role": "user", "content": load_problem_set().get(groups[0]["problem_id"]).prompt}
    ]
    cheat = await push_body(client, run, groups[0])
    cheat["trajectories"][1]["reward"] = 1.0
    assert (await post(client, "/api/rl/buffer/push", cheat, 422))["code"] == "reward_mismatch"
    for ticket in groups[:2]:
        await play(client, run, ticket)
    batch = await post(client, "/api/rl/buffer/sample", {"run_id": run, "num_groups": 2, "lease_s": 9})
    assert [g["group_id"] for g in batch["groups"]] == [g["group_id"] for g in groups[:2]]
    await post(client, "/api/rl/buffer/ack", {"run_id": run, "lease_id": batch["lease_id"]}, 204)
    stats = (await client.get("/api/rl/buffer/stats", params={"run_id": run})).json()
    assert (stats["consumed"], stats["groups_in_play"], stats["pushed"], stats["slots"]) == (4, 2, 4, 4)


async def push_body(client: httpx.AsyncClient, run: str, ticket: dict[str, Any]) -> dict[str, Any]:
    problem = load_problem_set().get(ticket["problem_id"])
    codes = [problem.solution or "", problem.wrong_solutions[0]]
    path = f"/api/rl/env/groups/{ticket['group_id']}/step"
    verdicts = (await post(client, path, {"codes": [*codes, codes[0]]}))["verdicts"]
    assert verdicts[0] == verdicts[2]
    token = {"completion_ids": [1], "logprobs": [-0.25], "versions": [0], "outcome": "scored"}
    rows = [
        {"episode_id": f"{ticket['group_id']}-{i}", "code": code, "reward": verdicts[i]["reward"], **token}
        for i, code in enumerate(codes)
    ]
    named = {"run_id": run, "group_id": ticket["group_id"], "problem_id": ticket["problem_id"], "prompt_ids": [1]}
    return named | {"trajectories": rows}


async def play(client: httpx.AsyncClient, run: str, ticket: dict[str, Any]) -> None:
    body = await push_body(client, run, ticket)
    assert await post(client, "/api/rl/buffer/push", body, 202) == {"accepted": 2, "duplicates": 0}


async def test_tickets_of_a_closed_run_are_gone(client: httpx.AsyncClient, run: str, parts: Services) -> None:
    async with parts.database.write() as connection:
        await parts.buffer.close(connection, run)
    problem = await post(client, "/api/rl/env/tickets", {"run_id": run, "request_id": "req-1", "wait_s": 5}, 410)
    assert problem["code"] == "run_closed"


async def test_a_waiting_ticket_call_is_answered_when_a_slot_is_freed(
    client: httpx.AsyncClient, run: str, parts: Services
) -> None:
    asked = {"run_id": run, "num_groups": 4}
    groups = (await post(client, "/api/rl/env/tickets", asked | {"request_id": "req-1"}))["groups"]
    waiting = asyncio.create_task(post(client, "/api/rl/env/tickets", asked | {"request_id": "req-2", "wait_s": 9}))
    await asyncio.sleep(0.05)
    body = await push_body(client, run, groups[0])
    body["trajectories"] = body["trajectories"][:1]  # a single reward is flat: the slot is free again
    await parts.buffer.push(orjson.dumps(body))
    assert len((await asyncio.wait_for(waiting, 2))["groups"]) == 1


async def test_problems_are_paged_filtered_and_never_show_hidden_tests(client: httpx.AsyncClient) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        params: dict[str, str | int] = {"split": "heldout", "limit": 50} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/api/rl/env/problems", params=params)).json()
        seen += [p["id"] for p in page["problems"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [p.id for p in load_problem_set().heldout()]
    shown = (await client.get(f"/api/rl/env/problems/{EASY.id}")).json()
    assert shown["test_cases"] == EASY.test_cases[: EASY.num_examples]
    assert (shown["total_tests"], "solution" in shown) == (len(EASY.test_cases), False)
    for path in ("/api/rl/env/problems?difficulty=x", "/api/rl/env/problems?cursor=x", "/api/rl/env/problems?limit=0"):
        assert (await client.get(path)).status_code == 422
    assert (await client.get("/api/rl/env/problems/none")).status_code == 404
