"""The blocking jobs' connections against a real server: kept while they are good, never trusted when they are not."""

import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from skyscale.errors import Conflict, TooLarge, TooMany, Unavailable
from skyscale.sdk import direct_transport
from skyscale.sdk.call import Call, as_bytes
from skyscale.sdk.direct_transport import DirectTransport
from skyscale.sdk.jobs import JobClient
from skyscale.wire.jobs import Heartbeat
from skyscale.wire.runs import EventCreate

sys.path.insert(0, str(Path(__file__).parent))

from scripted_server import Reply, ScriptedServer, problem, scripted

HEARTBEAT = {"desired": "run", "policy_url": None, "policy_version": 3, "manifest_uri": None}
WELL = Reply(200, HEARTBEAT)


def ports(server: ScriptedServer) -> set[int]:
    return {asked.connection for asked in server.asked}


def test_calls_go_over_one_connection_which_survives_a_refusal():
    with scripted(WELL, problem(409, "run_not_running"), WELL) as server, JobClient(server.url, "key", "job-1") as job:
        job.heartbeat(Heartbeat(detail="one"))
        with pytest.raises(Conflict) as caught:
            job.heartbeat(Heartbeat(detail="two"))
        assert job.heartbeat(Heartbeat(detail="three")).policy_version == 3
        assert (caught.value.code, caught.value.hint) == ("run_not_running", "do this")
        assert [asked.path for asked in server.asked] == ["/api/jobs/job-1/heartbeat"] * 3
        assert len(ports(server)) == 1
        headers = server.asked[2].headers
        assert headers["authorization"] == "Bearer key"
        assert headers["content-type"] == "application/json"
        assert headers["accept-encoding"] == "identity"
        assert b"three" in server.asked[2].body


def test_a_call_that_may_be_sent_once_only_is_not_risked_on_a_connection_that_the_server_has_closed():
    with (
        scripted(Reply(200, HEARTBEAT, closes=True), Reply(200, {})) as server,
        JobClient(server.url, "key", "job-1") as job,
    ):
        job.heartbeat(Heartbeat())
        time.sleep(0.1)  # the closing arrives
        job.event("rl-1", EventCreate(message="hello"))
        assert len(server.asked) == len(ports(server)) == 2


def test_a_connection_that_idled_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(direct_transport, "KEEPALIVE_S", 0.05)
    with scripted(WELL) as server, JobClient(server.url, "key", "job-1") as job:
        job.heartbeat(Heartbeat())
        time.sleep(0.1)
        job.heartbeat(Heartbeat())
        assert len(ports(server)) == 2


def test_a_reply_that_comes_too_late_is_never_taken_for_the_next_calls():
    late = Reply(200, {**HEARTBEAT, "policy_version": 1}, after_s=0.4)
    with (
        scripted(late, WELL) as server,
        JobClient(server.url, "key", "job-1", timeout_s=0.2, retry_for_s=0) as job,
    ):
        with pytest.raises(Unavailable) as caught:
            job.heartbeat(Heartbeat())
        time.sleep(0.3)
        assert caught.value.code == "unreachable"
        assert job.heartbeat(Heartbeat()).policy_version == 3


def test_half_a_reply_is_no_reply():
    half = Reply(200, b'{"desired": "run"', headers={"content-length": "400"}, closes=True)
    with scripted(half, WELL) as server, JobClient(server.url, "key", "job-1") as job:
        assert job.heartbeat(Heartbeat()).policy_version == 3
        assert len(server.asked) == 2


def test_threads_have_a_connection_each_and_get_their_own_replies():
    slow = Reply(200, HEARTBEAT, after_s=0.1)
    with scripted(slow) as server, JobClient(server.url, "key", "job-1") as job:
        threads = [threading.Thread(target=job.heartbeat, args=(Heartbeat(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        job.heartbeat(Heartbeat())
        assert (len(server.asked), len(ports(server))) == (5, 4)


def test_a_server_that_is_busy_says_for_how_long():
    busy = problem(429, "too_many", Retry_After="7")
    with scripted(busy) as server, JobClient(server.url, "key", "job-1", retry_for_s=0) as job:
        with pytest.raises(TooMany) as caught:
            job.heartbeat(Heartbeat())
        assert caught.value.retry_after_s == 7


def test_what_a_server_says_before_it_has_read_the_body_is_heard():
    """As a proxy does with a body that is too large for it: it answers and hangs up in the middle of the sending."""
    said = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

    def refuse(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=refuse, args=(listener,))
        server.start()
        transport = DirectTransport(f"http://127.0.0.1:{listener.getsockname()[1]}", None, 5.0, 0.0)
        with pytest.raises(TooLarge):
            transport.send(Call("POST", "/push", as_bytes, body=b"x" * 30_000_000))
        transport.close()
        server.join(5)


def test_the_next_replica_is_used_when_one_is_gone():
    with scripted(WELL) as server, scripted(problem(503, "unavailable")) as sick:
        with JobClient(f"{sick.url},{server.url}", "key", "job-1") as job:
            assert job.heartbeat(Heartbeat()).policy_version == 3
            assert job.heartbeat(Heartbeat()).policy_version == 3
        assert (len(sick.asked), len(server.asked)) == (1, 2)


def test_a_path_before_ours_and_parameters_are_sent_as_httpx_would():
    with scripted(Reply(200, {})) as server:
        transport = DirectTransport(f"{server.url}/sky/", None, 5.0, 0.0)
        transport.send(Call("GET", "/api/a b/ä", as_bytes, {"run_id": "rl 1", "all": True, "limit": 3}))
        transport.close()
        assert server.asked[0].path == "/sky/api/a%20b/%C3%A4?run_id=rl+1&all=true&limit=3"
        assert "content-type" not in server.asked[0].headers


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_gone_through(variable, monkeypatch):
    with scripted(WELL) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        with JobClient("http://control.invalid:8000", "key", "job-1", retry_for_s=0) as job:
            assert job.heartbeat(Heartbeat()).policy_version == 3
        assert proxy.asked[0].path == "http://control.invalid:8000/api/jobs/job-1/heartbeat"


def test_loopback_is_reached_directly_whatever_the_environment_says(monkeypatch):
    with scripted(WELL) as server, scripted(problem(502, "bad_gateway")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with JobClient(server.url, "key", "job-1", retry_for_s=0) as job:
            assert job.heartbeat(Heartbeat()).policy_version == 3
        assert not proxy.asked


def test_https_speaks_tls():
    with scripted(WELL) as server:
        job = JobClient(server.url.replace("http", "https"), "key", "job-1", retry_for_s=0)
        with job, pytest.raises(Unavailable, match="SSL"):
            job.heartbeat(Heartbeat())
        assert not server.asked
