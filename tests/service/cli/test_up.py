"""`skyscale up`: one command, two processes, and no way for the second to outlive the first."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from skyscale.cli import dashboard_bundle
from skyscale.cli.dashboard_process import DashboardProcess, environment_for, free_port, setup_code
from skyscale.errors import SkyscaleError, Unavailable

DEADLINE_S = 60.0
SERVER = """
const http = require("node:http");
const { HOSTNAME, PORT, SKYSCALE_API_URL, SKYSCALE_SETUP_CODE, AWS_SECRET_ACCESS_KEY } = process.env;
const told = { isSetupNeeded: true, pid: process.pid, SKYSCALE_API_URL, SKYSCALE_SETUP_CODE, AWS_SECRET_ACCESS_KEY };
http.createServer((request, reply) => {
  if (request.url === "/stream") return reply.write("open");
  told.address = request.headers["x-skyscale-client-ip"];
  reply.end(JSON.stringify(told));
}).listen(Number(PORT), HOSTNAME);
"""
"""Not the dashboard, but a real Node server in its place: what is tested here is how it is started and ended."""


@pytest.fixture
def node() -> Path:
    """A Node that can run the dashboard."""
    try:
        return dashboard_bundle.find_node().path
    except SkyscaleError as error:
        pytest.skip(error.detail)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder like the built dashboard's."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "server.js").write_text(SERVER)
    preload = Path(__file__).parents[3] / "dashboard" / "scripts" / "preload.cjs"
    (folder / "preload.cjs").write_text(preload.read_text())
    return folder


def start(node: Path, bundle: Path, tmp_path: Path, **settings: str) -> DashboardProcess:
    port = free_port("127.0.0.1", 0, is_exact=True)
    return DashboardProcess(
        node, bundle, host="127.0.0.1", port=port, log_path=tmp_path / "dashboard.log", settings=settings
    )


def test_it_answers_gets_what_it_needs_and_ends_with_streams_open(
    node: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for a dashboard")
    dashboard = start(node, bundle, tmp_path, SKYSCALE_SETUP_CODE="AAAA-BBBB")
    try:
        dashboard.wait_until_ready()
        assert dashboard.needs_setup()
        claimed = {"x-skyscale-client-ip": "192.0.2.1", "x-forwarded-for": "192.0.2.2"}
        told = httpx.get(dashboard.url, headers=claimed, trust_env=False).json()
        assert (told["SKYSCALE_SETUP_CODE"], told["address"]) == ("AAAA-BBBB", "127.0.0.1")
        assert "AWS_SECRET_ACCESS_KEY" not in told
        with httpx.stream("GET", f"{dashboard.url}/stream", trust_env=False) as stream:
            assert next(stream.iter_text()) == "open"
            dashboard.stop()
        assert dashboard.has_ended()
    finally:
        dashboard.stop()


def test_a_dashboard_that_cannot_start_says_what_it_said(node: Path, bundle: Path, tmp_path: Path) -> None:
    (bundle / "server.js").write_text("throw new Error('the database of accounts is on fire')")
    dashboard = start(node, bundle, tmp_path)
    with pytest.raises(Unavailable, match="the database of accounts is on fire") as caught:
        dashboard.wait_until_ready()
    assert str(tmp_path / "dashboard.log") in caught.value.hint
    dashboard.stop()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_the_command(bundle: Path, node: Path, tmp_path: Path, signum: int) -> None:
    with up(bundle, tmp_path) as (process, said):
        pid = httpx.get(said["dashboard"], trust_env=False).json()["pid"]
        assert is_alive(pid)
        assert httpx.get(f"{said['api']}/health", trust_env=False).status_code == 200
        process.send_signal(signum)
        process.wait(DEADLINE_S)
        until(lambda: not is_alive(pid), "the dashboard has outlived it")
    assert process.returncode == (-signal.SIGKILL if signum == signal.SIGKILL else 0)


def test_the_control_plane_goes_on_without_its_dashboard(bundle: Path, node: Path, tmp_path: Path) -> None:
    with up(bundle, tmp_path) as (process, said):
        os.kill(httpx.get(said["dashboard"], trust_env=False).json()["pid"], signal.SIGKILL)
        assert process.stderr is not None
        assert "The dashboard has ended; the control plane goes on." in process.stderr.readline()
        assert httpx.get(f"{said['api']}/health", trust_env=False).status_code == 200


def test_ports_are_chosen_and_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {port} is taken"):
            free_port("127.0.0.1", port, is_exact=True)
        assert port < free_port("127.0.0.1", port, is_exact=False) < port + 20


def test_a_setup_code_is_long_and_never_the_same() -> None:
    codes = {setup_code() for _ in range(100)}
    assert len(codes) == 100
    assert all(len(code.replace("-", "")) == 16 for code in codes)


def test_the_dashboard_gets_our_settings_and_nobodys_credentials() -> None:
    given = {
        "PATH": "/bin",
        "SKYSCALE_DASHBOARD_TOKEN": "t",
        "DATABASE_URL": "d",
        "HF_TOKEN": "h",
        "S3_SECRET_KEY": "s",
    }
    assert environment_for(given) == {"PATH": "/bin", "SKYSCALE_DASHBOARD_TOKEN": "t", "DATABASE_URL": "d"}


UP = """
import sys
from pathlib import Path
from skyscale.cli import dashboard_bundle
from skyscale.cli.main import main
dashboard_bundle.BUNDLES = (Path(sys.argv[1]),)
main(["up", "--port", "0", "--dashboard-port", "0", "--data-dir", sys.argv[2]])
"""


@contextmanager
def up(bundle: Path, tmp_path: Path) -> Generator[tuple[subprocess.Popen[str], dict[str, str]]]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", UP, str(bundle), str(tmp_path / "data")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        said: dict[str, str] = {}
        for line in process.stdout:
            words = line.split()
            if line.startswith("Skyscale is ready at"):
                said["api"] = words[-1]
            elif line.startswith("Dashboard at"):
                said["dashboard"] = words[-1]
            elif "set-up code" in line:
                said["code"] = words[2]
                break
        assert set(said) == {"api", "dashboard", "code"}, process.stderr.read()
        yield process, said
    finally:
        process.kill()
        process.communicate()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(is_so: object, trouble: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline, trouble
        time.sleep(0.05)


def test_without_a_bundle_the_control_plane_runs_and_says_why_there_is_no_dashboard(tmp_path: Path) -> None:
    code = UP.replace("Path(sys.argv[1]),", "")
    command = [sys.executable, "-c", code, "-", str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            assert "is ready at" in process.stdout.readline()
            assert "not built" in process.stderr.readline()
        finally:
            process.terminate()
            process.wait(DEADLINE_S)
