"""Both transports against a real server: failures become our exceptions, passing ones are repeated."""

import asyncio
import socket
import sys
import time
from pathlib import Path

import orjson
import pytest

from skyscale.errors import Conflict, Gone, NotFound, ProtocolError, SandboxFailure, SkyscaleError, TooMany, Unavailable
from skyscale.sdk.client import AsyncClient, Client
from skyscale.sdk.jobs import AsyncJobClient, JobClient
from skyscale.wire.batches import SampleRequest, TrajectoryPush
from skyscale.wire.jobs import Heartbeat
from skyscale.wire.runs import EventCreate, RunCreate

sys.path.insert(0, str(Path(__file__).parent))

from scripted_server import Reply, problem, scripted

STATS = {
    "run_id": "rl-1", "size": 3, "leased": 0, "consumed": 8, "flat": 0, "stale": 0, "failed": 0,
    "groups_in_play": 2, "slots": 64, "pushed": 11,
}  # fmt: skip
HEARTBEAT = {"desired": "run", "policy_url": None, "policy_version": 3, "manifest_uri": None}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (problem(404, "run_not_found"), NotFound),
        (problem(409, "run_not_running"), Conflict),
        (problem(410, "gone"), Gone),
        (problem(503, "sandbox_failure"), SandboxFailure),
        (problem(503, "no_policy"), Unavailable),
        (problem(429, "too_many", retry_after="7"), TooMany),
        (Reply(404, b"<html>not ours</html>", content_type="text/html"), NotFound),
    ],
)
def test_a_refusal_is_raised_as_the_class_that_the_server_raised(reply, expected):
    with scripted(reply) as server, Client(server.url, retry_for_s=0) as client, pytest.raises(expected) as caught:
        client.buffer_stats("rl-1")
    assert type(caught.value) is expected
    if isinstance(reply.body, dict):
        assert caught.value.code == reply.body["code"]
        assert caught.value.hint == "do this"
    if isinstance(caught.value, TooMany):
        assert caught.value.retry_after_s == 7


def test_sync_calls_are_repeated_until_the_server_is_well():
    with scripted(
        problem(503, "unavailable"), Reply(hang_up=True), Reply(502, b"bad gateway"), Reply(200, STATS)
    ) as it:
        with Client(it.url, token="secret") as client:
            stats = client.buffer_stats("rl-1")
        assert (stats.size, stats.slots, len(it.asked)) == (3, 64, 4)
        assert it.asked[-1].headers["authorization"] == "Bearer secret"
        assert it.asked[-1].headers["accept-encoding"] == "identity"
        assert it.asked[-1].path == "/api/rl/buffer/stats?run_id=rl-1"


async def test_async_calls_are_repeated_until_the_server_is_well():
    with scripted(problem(503, "unavailable"), Reply(hang_up=True), Reply(200, STATS)) as server:
        async with AsyncClient(server.url) as client:
            assert (await client.buffer_stats("rl-1")).pushed == 11
        assert len(server.asked) == 3


async def test_a_call_rides_out_a_server_that_is_down_when_it_begins():
    port = free_port()
    async with AsyncJobClient(f"http://127.0.0.1:{port}", "t", "job-1", retry_for_s=10) as client:
        waiting = asyncio.create_task(client.heartbeat(Heartbeat(detail="playing")))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        server = await asyncio.start_server(_answer_heartbeat, "127.0.0.1", port)
        reply = await asyncio.wait_for(waiting, 8)
        server.close()
    assert reply.policy_version == 3


async def _answer_heartbeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    body = orjson.dumps(HEARTBEAT)
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    writer.close()


def test_patience_ends_at_the_deadline_with_the_last_failure():
    started = time.monotonic()
    with Client(f"http://127.0.0.1:{free_port()}", retry_for_s=0.4) as client, pytest.raises(Unavailable) as caught:
        client.list_runs()
    assert caught.value.code == "unreachable"
    assert 0.1 < time.monotonic() - started < 2


def test_a_defect_of_the_server_is_tried_a_few_times_and_not_for_the_whole_time():
    with scripted(problem(500, "internal_error")) as server:
        with Client(server.url, retry_for_s=60) as client, pytest.raises(SkyscaleError, match="request req-1"):
            client.list_runs()
        assert len(server.asked) == 5


def test_gone_is_raised_at_once():
    with scripted(problem(410, "job_ended")) as server:
        with JobClient(server.url, "t", "job-1") as client, pytest.raises(Gone):
            client.heartbeat(Heartbeat())
        assert len(server.asked) == 1


def test_calls_that_would_act_twice_are_sent_once():
    consuming = SampleRequest(run_id="rl-1", batch_size=4)
    told = EventCreate(message="hello")
    anonymous = TrajectoryPush(run_id="rl-1", problem_id="p", prompt="q", code="c", reward=1)
    with scripted(problem(503, "unavailable")) as server, JobClient(server.url, "t", "job-1") as client:
        for send in (
            lambda: client.sample(consuming),
            lambda: client.event("rl-1", told),
            lambda: client.push(anonymous),
        ):
            before = len(server.asked)
            with pytest.raises(Unavailable):
                send()
            assert len(server.asked) == before + 1


def test_a_created_run_has_the_same_id_in_every_attempt():
    refusal = problem(422, "unknown_model")
    with scripted(problem(503, "unavailable"), refusal) as server, Client(server.url) as client:
        with pytest.raises(Exception, match="unknown_model happened"):
            client.create_run(RunCreate())
        first, second = (orjson.loads(asked.body)["run_id"] for asked in server.asked)
    assert first == second
    assert first.startswith("rl-")


def test_nonsense_in_a_good_reply_is_a_protocol_error_and_not_repeated():
    with scripted(Reply(200, {"size": "many"})) as server, Client(server.url) as client:
        with pytest.raises(ProtocolError, match="BufferStats"):
            client.buffer_stats("rl-1")
        assert len(server.asked) == 1


def test_a_url_without_a_scheme_is_the_callers_mistake():
    with pytest.raises(ValueError, match="http://"):
        Client("127.0.0.1:8080")


def event(seq: int, kind: str = "policy.published") -> dict[str, object]:
    return {
        "seq": seq, "timestamp": "2026-01-01T00:00:00Z", "run_id": "rl-1", "component": "c", "level": "info",
        "kind": kind, "message": f"m{seq}", "data": {},
    }  # fmt: skip


def stream(*events: dict[str, object], comment: str = "") -> Reply:
    text = "".join(f"id: {each['seq']}\ndata: {orjson.dumps(each).decode()}\n\n" for each in events)
    return Reply(200, f"retry: 1000\n\n{text}{comment}".encode(), content_type="text/event-stream")


def run_view(status: str) -> Reply:
    spec = {
        "run_id": "rl-1", "base_model": "m", "num_workers": 1, "gpu_model": "cpu", "provider": "local",
        "problem_set": "embedded", "difficulty": None, "algorithm": {}, "sampling": {}, "evaluation": {},
        "mode": "async", "seed": 0, "max_steps": None, "max_hours": None, "target_reward": None,
        "max_concurrent_groups": 3, "checkpoint_every": 1, "keep_versions": 3,
    }  # fmt: skip
    view = {
        "run_id": "rl-1", "status": status, "stage": None, "reason": None, "spec": spec, "trainer_status": "",
        "worker_statuses": [], "processes": [], "policy_status": "ready", "policy_version": 0, "serving_version": 0,
        "buffer_size": 0, "trajectories": 0, "metrics": [], "evaluations": [], "event_count": 0, "checkpoint": None,
        "grafana_url": None, "created_at": "2026-01-01T00:00:00Z", "rollouts_started_at": None, "ended_at": None,
    }  # fmt: skip
    return Reply(200, view)


def page(*events: dict[str, object]) -> Reply:
    return Reply(200, {"run_id": "rl-1", "events": list(events)})


SCRIPT = (
    run_view("running"),
    page(),
    stream(event(3), event(4)),
    run_view("running"),
    Reply(hang_up=True),
    page(),
    Reply(hang_up=True),
    run_view("running"),
    page(),
    stream(event(4), event(5), event(6, "run.ended"), event(7)),
    run_view("completed"),
    page(event(7)),
    run_view("completed"),
    page(),
)


def test_following_gives_each_event_once_through_lost_connections_until_the_run_has_ended():
    with scripted(*SCRIPT) as server, Client(server.url) as client:
        assert [each.seq for each in client.follow_events("rl-1", after=2)] == [3, 4, 5, 6, 7]
        asked = [each for each in server.asked if each.headers["accept"] == "text/event-stream"]
        assert [each.headers["last-event-id"] for each in asked] == ["2", "4", "4"]


async def test_following_without_blocking_gives_the_same():
    with scripted(*SCRIPT) as server:
        async with AsyncClient(server.url) as client:
            assert [each.seq async for each in client.follow_events("rl-1", after=2)] == [3, 4, 5, 6, 7]
