"""A real control plane as a child process, and a view of every process that it leads to."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import psutil
import pytest

from skyscale.errors import SkyscaleError
from skyscale.sdk.client import Client
from skyscale.wire.runs import RunStatus, RunView
from tests.contract.s3_server import BUCKET, s3_server
from tests.contract.s3_server import environment as s3_environment
from tests.postgres import PostgresServer, find_binaries, free_port

ENDED = {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.STOPPED}


class ControlPlane:
    """`skyscale serve` on a free loopback port, in a data folder of its own."""

    def __init__(self, folder: Path, *, port: int | None = None, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is added to this process's own."""
        self.folder = folder
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = dict(environment or {})
        self.dialled = self.environment.get("SKYSCALE_JOB_URL", self.url)
        self.log = folder / f"serve-{self.port}.log"
        self.client = Client(self.url)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again on the same data, and wait until it answers."""
        command = [sys.executable, "-m", "skyscale.cli.main", "serve"]
        command += ["--port", str(self.port), "--data-dir", str(self.folder)]
        env = {**os.environ, **self.environment}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)
        wait_for(self._answers, 60, "the control plane to answer")

    def _answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.log.read_text()
        try:
            self.client.health()
        except SkyscaleError:
            return False
        return True

    def kill(self) -> None:
        """End it with signal 9, as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it as Ctrl-C would, and see that nothing of it is left."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        self.client.close()

    def job_processes(self, role: str) -> list[psutil.Process]:
        """The live processes of this control plane's jobs of one role."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                environment, command = process.environ(), process.cmdline()
            except psutil.Error:
                continue
            if environment.get("SKYSCALE_URL", "").rstrip("/") == self.dialled and f"skyscale.{role}" in command:
                found.append(process)
        return found

    def everything(self) -> list[psutil.Process]:
        """Every live process of any job."""
        return [process for role in ("policy", "trainer", "worker") for process in self.job_processes(role)]

    def wait_for_end(self, run_id: str, timeout_s: float) -> RunView:
        """The run's last view; fails with the run's events if it does not end in time."""
        deadline = time.monotonic() + timeout_s
        while (view := self.client.get_run(run_id)).status not in ENDED:
            assert time.monotonic() < deadline, self.story(run_id)
            time.sleep(0.2)
        return view

    def story(self, run_id: str) -> str:
        """The run's events as text, for a failing test."""
        events = self.client.events(run_id, limit=500).events
        return "\n".join(f"{event.component}: {event.kind} {event.message}" for event in events)


def wait_for(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll until it holds; fail by name when the deadline passes."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.1)


@pytest.fixture
def control_plane(tmp_path: Path) -> Generator[ControlPlane]:
    """A running control plane; after the test no process of it is alive."""
    plane = ControlPlane(tmp_path)
    plane.start()
    yield plane
    plane.stop()
    wait_for(lambda: not plane.everything(), 15, "all job processes to end")


@pytest.fixture
def postgres() -> Generator[PostgresServer]:
    """A PostgreSQL server of this test's own."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server binaries on this machine")
    server = PostgresServer(binaries)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def replicas(tmp_path: Path, postgres: PostgresServer) -> Generator[list[ControlPlane]]:
    """Two control planes on one PostgreSQL, one bucket and one data folder; after the test no process is alive."""
    ports = [free_port() for _ in range(2)]
    with s3_server() as s3:
        environment = {
            "DATABASE_URL": postgres.url(postgres.create_database()),
            "SKYSCALE_JOB_URL": ",".join(f"http://127.0.0.1:{port}" for port in ports),
            "S3_BUCKET": BUCKET,
            **s3_environment(s3),
        }
        planes = [ControlPlane(tmp_path, port=port, environment=environment) for port in ports]
        for plane in planes:
            plane.start()
        yield planes
        for plane in planes:
            plane.stop()
        wait_for(lambda: not planes[0].everything(), 15, "all job processes to end")
