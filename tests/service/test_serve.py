"""`run_server` as a process of its own: ready when it says so, gone without a trace on SIGTERM and SIGINT."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ACTORS = str(Path(__file__).with_name("actors.py"))
SERVER = f"""
import sys
from pathlib import Path
from skyscale.api import services
from skyscale.api.serve import run_server
from skyscale.jobs import dispatch
from skyscale.settings import Settings
dispatch.COMMANDS.update(dict.fromkeys(dispatch.COMMANDS, (sys.executable, {ACTORS!r})))
settings = Settings(data_dir=Path(sys.argv[1]), port=0, heartbeat_s=0.2, reconcile_s=0.05)
run_server(settings, on_ready=lambda url: print(url, flush=True))
"""
DEADLINE_S = 20.0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_its_streams_and_every_job(tmp_path: Path, signum: int) -> None:
    command = [sys.executable, "-c", SERVER, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None and server.stderr is not None
            url = server.stdout.readline().strip()
            assert url.startswith("http://127.0.0.1:"), server.stderr.read()
            httpx.post(f"{url}/api/rl/runs", json={"run_id": "rl-serve"}, trust_env=False).raise_for_status()
            _until(lambda: len(_jobs()) >= 3)
            stream = {"Accept": "text/event-stream"}
            with httpx.stream("GET", f"{url}/api/rl/runs/rl-serve/events", headers=stream, trust_env=False) as events:
                assert next(events.iter_lines()).startswith("retry")
                server.send_signal(signum)
                assert server.wait(DEADLINE_S) == 0
            assert _jobs() == []
            assert "Traceback" not in server.stderr.read()
        finally:
            server.kill()


def test_an_address_in_use_is_an_error_at_once(tmp_path: Path) -> None:
    taken = "import socket; s = socket.create_server(('127.0.0.1', 0)); port = s.getsockname()[1]\n"
    code = taken + SERVER.replace("port=0", "port=port")
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert ended.returncode == 1
    assert "Address already in use" in ended.stderr


def _until(is_so: object) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _jobs() -> list[int]:
    """Processes of this test's run."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_actor = (process / "cmdline").read_bytes().split(b"\0")[1:2] == [ACTORS.encode()]
            if is_actor and b"-serve-0" in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found
