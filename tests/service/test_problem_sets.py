"""Problem sets over the real API: upload, versions, bad input, deletion, and what runs make of them."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from skyscale.api.services import Services, build
from skyscale.problems import uploads
from skyscale.settings import Settings
from skyscale.store import replica

PATH = "/api/rl/problem-sets"
MAX_BYTES = 6 * 1024 * 1024
sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what does not depend on the database."""


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Small limits, so that they are easily reached."""
    return Settings(
        data_dir=tmp_path / "data", database_url=database_url, problem_set_max_bytes=MAX_BYTES,
        problem_sets_max_bytes=4 * 1024 * 1024,
    )  # fmt: skip


def problem(number: int, **fields: object) -> dict[str, object]:
    """`f(x) = x + number`, of a family of its own."""
    return {
        "id": f"add-{number}", "prompt": f"Write f(x) that returns x plus {number}.", "style": "calls",
        "entry_point": "f", "test_cases": [f"assert f({x}) == {x + number}" for x in (1, 5, -3)],
        "solution": f"def f(x):\n    return x + {number}",
    } | fields  # fmt: skip


def jsonl(*problems: object) -> bytes:
    return b"".join((p if isinstance(p, bytes) else json.dumps(p).encode()) + b"\n" for p in problems)


async def upload(client: httpx.AsyncClient, body: bytes | AsyncIterator[bytes], **query: object) -> httpx.Response:
    parameters = {"name": "sums"} | {name: str(value) for name, value in query.items()}
    return await client.post(PATH, params=parameters, content=body, timeout=60)


def files_left(settings: Settings) -> list[Path]:
    """Everything on disk that an upload may leave."""
    folders = [settings.data_dir / "problem-uploads", settings.data_dir / "artifacts"]
    return [path for folder in folders if folder.exists() for path in folder.rglob("*") if path.is_file()]


@sqlite
async def test_an_upload_is_checked_counted_and_looked_into(client: httpx.AsyncClient) -> None:
    body = jsonl(
        *(problem(n, tags=["sum"], difficulty="easy" if n % 2 else "hard") for n in range(40)),
        problem(90, split="heldout", wrong_solutions=["def f(x):\n    return x"]),
    )
    answer = await upload(client, body, heldout_fraction=0.2)
    assert answer.status_code == 201, answer.text
    version = answer.json()["version"]
    counts = version["counts"]
    assert answer.json()["created"]
    assert counts["problems"] == 41
    assert counts["by_split"]["heldout"] + counts["by_split"]["train"] == 41
    assert 2 <= counts["by_split"]["heldout"] <= 16
    assert counts["by_tag"] == {"sum": 40}
    assert counts["by_difficulty"] == {"easy": 20, "hard": 20, "medium": 1}
    assert version["solutions_checked"] == 42
    listed = (await client.get(PATH)).json()["problem_sets"]
    assert [each["name"] for each in listed] == ["embedded", "sums"]
    assert listed[0]["current"]["counts"]["problems"] == 605
    seen: list[dict[str, object]] = []
    cursor: str | None = "0"
    while cursor is not None:
        parameters = {"cursor": cursor, "limit": 7, "difficulty": "easy", "tag": "sum"}
        page = (await client.get(f"{PATH}/sums/problems", params=parameters)).json()
        seen += page["problems"]
        cursor = page["next_cursor"]
    assert [each["id"] for each in seen] == [f"add-{n}" for n in range(1, 40, 2)]
    assert seen[0]["test_cases"] == ["assert f(1) == 2"]
    assert seen[0]["total_tests"] == 3
    assert "x + 1" not in json.dumps(seen)


async def test_the_same_content_is_the_same_version_and_other_content_another(client: httpx.AsyncClient) -> None:
    one, two = jsonl(problem(1), problem(2)), jsonl(problem(1), problem(3))
    first, again = await asyncio.gather(upload(client, one), upload(client, one))
    assert sorted([first.status_code, again.status_code]) == [200, 201]
    assert first.json()["version"]["ref"] == again.json()["version"]["ref"]
    spaced = one.replace(b'", "', b'",  "').replace(b"\n", b"\r\n\r\n")
    assert (await upload(client, spaced)).json()["version"]["ref"] == first.json()["version"]["ref"]
    other = (await upload(client, two)).json()["version"]
    view = (await client.get(f"{PATH}/sums")).json()
    assert [each["ref"] for each in view["versions"]] == [other["ref"], first.json()["version"]["ref"]]
    short = first.json()["version"]["ref"][:13]
    assert (await client.get(f"{PATH}/{short}")).json()["versions"][0]["ref"] == first.json()["version"]["ref"]
    await upload(client, one)
    assert (await client.get(f"{PATH}/sums")).json()["versions"][0]["ref"] == first.json()["version"]["ref"]


@sqlite
async def test_mistakes_are_named_by_line_and_nothing_is_kept(client: httpx.AsyncClient, settings: Settings) -> None:
    for lines, complaints in (
        ([problem(1), b"{not json", problem(2, colour="red")], ["line 2: not JSON", "line 3: colour: Extra"]),
        ([problem(1), problem(2, test_cases=["assert f(" + "-" * 50_000 + "1) == 1"])], ["line 2: "]),
        ([problem(1, solution="def f(x): return x + 1 if x > 0 else 0")], ["line 1: solution: fails test 3 of 3"]),
        ([problem(1), problem(2, wrong_solutions=["def f(x): return x + 2"])], ["line 2: wrong_solutions.0: passes"]),
    ):
        answer = await upload(client, jsonl(*lines))
        assert answer.status_code == 422, answer.text
        for complaint in complaints:
            assert complaint in answer.json()["detail"]
    assert not files_left(settings)
    assert (await client.get(f"{PATH}/sums")).status_code == 404


@sqlite
async def test_too_large_an_upload_is_refused_and_leaves_nothing(client: httpx.AsyncClient, settings: Settings) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 65536

    answer = await upload(client, endless())
    assert answer.status_code == 413, answer.text
    assert (await upload(client, b" " * (MAX_BYTES + 1))).status_code == 413
    assert not files_left(settings)


async def test_all_sets_together_have_a_limit(client: httpx.AsyncClient, settings: Settings) -> None:
    large = "x" * 900_000
    for name in ("a", "b"):
        body = jsonl(*(problem(n, prompt=large) for n in range(2)))
        assert (await upload(client, body, name=name)).status_code == 201
    refused = await upload(client, jsonl(*(problem(n, prompt=large) for n in range(3))), name="c")
    assert refused.status_code == 413
    assert refused.json()["code"] == "problem_sets_full"
    assert len(files_left(settings)) == 4
    assert (await client.delete(f"{PATH}/a")).status_code == 204
    assert (await upload(client, jsonl(*(problem(n, prompt=large) for n in range(2))), name="c")).status_code == 201


@sqlite
async def test_an_upload_that_breaks_off_leaves_nothing(app: FastAPI, settings: Settings) -> None:
    parts: Services = app.state.services

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 2_000_000
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await parts.problem_sets.receive(broken())
    assert not files_left(settings)


@sqlite
async def test_an_upload_that_stalls_is_given_up(
    app: FastAPI, settings: Settings, monkeypatch: pytest.MonkeyPatch, client: httpx.AsyncClient
) -> None:
    monkeypatch.setattr(uploads, "STALL_S", 0.2)
    parts: Services = app.state.services

    async def stalled() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    with pytest.raises(Exception, match="nothing of the upload arrived"):
        await parts.problem_sets.receive(stalled())
    assert not files_left(settings)


@sqlite
async def test_unknown_names_say_what_there_is(client: httpx.AsyncClient) -> None:
    await upload(client, jsonl(problem(1), problem(2)))
    missing = await client.get(f"{PATH}/nothing")
    assert missing.status_code == 404
    assert "embedded, sums" in missing.json()["detail"]
    run = await client.post("/api/rl/runs", json={"problem_set": "nothing", "dry_run": True})
    assert run.status_code == 422
    assert run.json()["code"] == "problem_set_not_found"
    assert "embedded, sums" in run.json()["detail"]
    version = await client.post("/api/rl/runs", json={"problem_set": "sums@0123456789abcdef", "dry_run": True})
    assert "has no version '0123456789abcdef'; it has " in version.json()["detail"]
    for name in ("embedded", "Sums", "a/b", "x.jsonl"):
        assert (await upload(client, jsonl(problem(1)), name=name)).status_code == 422


async def test_a_run_names_an_immutable_version_which_cannot_be_deleted_while_it_lives(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    ref = (await upload(client, jsonl(problem(1), problem(2)))).json()["version"]["ref"]
    body = {"problem_set": "sums", "run_id": "rl-sums", "evaluation": {"num_problems": 1}}
    created = await client.post("/api/rl/runs", json=body)
    assert created.status_code == 202, created.text
    assert created.json()["spec"]["problem_set"] == ref
    await upload(client, jsonl(problem(3), problem(4)))
    assert (await client.get("/api/rl/runs/rl-sums")).json()["spec"]["problem_set"] == ref
    assert (await client.post("/api/rl/runs", json=body)).json()["spec"]["problem_set"] == ref
    for target in ("sums", ref):
        refused = await client.delete(f"{PATH}/{target}")
        assert refused.status_code == 409
        assert "rl-sums" in refused.json()["detail"]
    await client.delete("/api/rl/runs/rl-sums")
    for _ in range(300):
        if (await client.get("/api/rl/runs/rl-sums")).json()["status"] == "stopped":
            break
        await asyncio.sleep(0.1)
    assert (await client.delete(f"{PATH}/sums")).status_code == 204
    assert (await client.delete(f"{PATH}/sums")).status_code == 404
    assert (await client.get("/api/rl/runs/rl-sums")).status_code == 200
    assert not files_left(settings)


@sqlite
async def test_a_set_of_one_problem_is_trained_on_and_says_that_nothing_is_held_out(client: httpx.AsyncClient) -> None:
    version = (await upload(client, jsonl(problem(1)), heldout_fraction=0.9)).json()["version"]
    assert version["counts"]["by_split"] == {"train": 1}
    assert any("nothing is held out" in note for note in version["notes"])
    refused = await client.post("/api/rl/runs", json={"problem_set": "sums", "dry_run": True})
    assert refused.status_code == 422
    assert "set evaluation.num_problems to 0" in refused.json()["detail"]
    body = {"problem_set": "sums", "dry_run": True, "evaluation": {"num_problems": 0}}
    assert (await client.post("/api/rl/runs", json=body)).status_code == 200


@sqlite
async def test_progress_is_streamed_and_a_dry_run_keeps_nothing(client: httpx.AsyncClient, settings: Settings) -> None:
    accept = {"accept": "application/x-ndjson"}
    body = jsonl(*map(problem, range(6)))
    parameters = {"name": "sums", "dry_run": "true"}
    answer = await client.post(PATH, params=parameters, content=body, headers=accept)
    events = [json.loads(line) for line in answer.text.splitlines()]
    assert [(e["phase"], e["done"], e["total"]) for e in events[:-1]] == [("solutions", n, 6) for n in range(1, 7)]
    assert events[-1]["type"] == "done"
    assert not events[-1]["result"]["created"]
    assert not files_left(settings)
    answer = await client.post(PATH, params=parameters, content=b"x", headers=accept)
    assert json.loads(answer.text)["error"]["status"] == 422


@sqlite
async def test_sets_are_there_after_a_restart_and_half_uploads_are_not(
    client: httpx.AsyncClient, settings: Settings, app: FastAPI
) -> None:
    ref = (await upload(client, jsonl(problem(1), problem(2)))).json()["version"]["ref"]
    half = settings.data_dir / "problem-uploads" / "upload-dead"
    half.mkdir(parents=True)
    (half / "source.jsonl").write_bytes(b"half")
    parts = build(settings)
    await parts.problem_sets.start()
    try:
        assert not half.exists()
        assert (await parts.problem_sets.overview()).problem_sets[1].current.ref == ref
        assert parts.problem_sets.library.open(ref).get("add-1").entry_point == "f"
    finally:
        await parts.database.close()
        await parts.http.aclose()


@sqlite
async def test_folders_of_control_planes_that_are_gone_are_removed_at_the_start_and_others_are_not(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    folders = settings.data_dir / "problem-uploads"
    here, pid, _ = replica.own_name().rsplit(":", 2)
    ended = await asyncio.create_subprocess_exec("true")
    await ended.wait()
    dead, retired = folders / f"{here}:{ended.pid}:cp-1", folders / f"{here}:{pid}:cp-2"
    living, elsewhere, forgotten = (folders / name for name in (f"{here}:1:cp-3", "there:1:cp-4", "there:2:cp-5"))
    for folder in (dead, retired, living, elsewhere, forgotten):
        (folder / "upload-1").mkdir(parents=True)
        (folder / "upload-1" / "source.jsonl").write_bytes(b"half")
    os.utime(forgotten, (0, 0))
    parts = build(settings)
    await parts.problem_sets.start()
    try:
        assert [each.exists() for each in (dead, retired, forgotten)] == [False, False, False]
        assert [each.exists() for each in (living, elsewhere)] == [True, True]
    finally:
        await parts.database.close()
        await parts.http.aclose()


@sqlite
async def test_answers_are_judged_without_a_sandbox_and_stay_hidden(client: httpx.AsyncClient) -> None:
    body = jsonl(
        {"id": "q1", "prompt": "6 times 7?", "style": "answer", "answer": "42", "solution": "6*7=42\n#### 42"},
        {"id": "q2", "prompt": "Capital of France?", "style": "answer", "answer": "Paris", "answer_kind": "text",
         "split": "heldout", "wrong_solutions": ["Lyon"]},
    )  # fmt: skip
    answer = await upload(client, body)
    assert answer.status_code == 201, answer.text
    sample = await client.get(f"{PATH}/sums/problems")
    assert "42" not in sample.text
    assert "Paris" not in sample.text
    refused = await upload(client, jsonl({"id": "q", "prompt": "?", "style": "answer", "answer": "many"}))
    assert "line 1: answer: 'many' is no number" in refused.json()["detail"]


@sqlite
async def test_job_tokens_upload_and_delete_nothing(client: httpx.AsyncClient, app: FastAPI) -> None:
    bad = {"authorization": "Bearer nonsense"}
    assert (await client.post(PATH, params={"name": "x"}, content=b"", headers=bad)).status_code == 401
    assert (await client.delete(f"{PATH}/x", headers=bad)).status_code == 401


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from skyscale.errors import Unavailable
from skyscale.problems.uploads import receive

resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))

async def chunks(number):
    for n in range(number):
        yield b'{"id": "p%d", "prompt": "%s", "style": "answer", "answer": "1"}\\n' % (n, b"x" * 900_000)

async def main():
    try:
        await receive(chunks(2), Path(sys.argv[1]), 10_000_000)
    except Unavailable as error:
        print(error.code, list(Path(sys.argv[1]).iterdir()))

asyncio.run(main())
"""


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "disk_full []", done.stderr


@sqlite
async def test_a_problem_of_an_uploaded_version_can_be_played(client: httpx.AsyncClient) -> None:
    ref = (await upload(client, jsonl(problem(4)))).json()["version"]["ref"]
    begun = (await client.post("/api/rl/env/reset", json={"problem_set": ref, "problem_id": "add-4"})).json()
    assert begun["test_cases"] == ["assert f(1) == 5"]
    step = {"sandbox_id": begun["sandbox_id"], "code": "def f(x):\n    return x + 4"}
    assert (await client.post("/api/rl/env/step", json=step, timeout=60)).json()["reward"] == 1.0
    for strange in ("/etc/passwd", "sums", "../sums@00000000", "problems.jsonl"):
        refused = await client.post("/api/rl/env/reset", json={"problem_set": strange})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid"), strange
    gone = await client.post("/api/rl/env/reset", json={"problem_set": "sums@0123456789abcdef"})
    assert (gone.status_code, gone.json()["code"]) == (404, "problem_set_not_found")
