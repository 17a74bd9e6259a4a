"""All processes of a chaos test, on loopback and in one temporary folder.

PostgreSQL, control planes, a sandbox host, an artifact server; jobs are started by the control planes.

with stage(replicas=2) as world:      everything runs
    world.targets["postgresql"]()     kills one, and starts it again where nobody else does
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from skyscale.errors import SkyscaleError
from skyscale.sdk.client import Client
from tests.postgres import PostgresServer, find_binaries, free_port

ANSWER_S = 90.0
STOP_S = 60.0
ALL_AT_ONCE = 0.25
LONGEST_ABSENCE_S = 3.0
"""For so long at most what was killed stays away before it is started again."""


@dataclass
class Server:
    """A process of ours that is started again on the same data."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **self.environment}
            )

    def kill(self) -> bool:
        """End it with signal 9; False when it was not running."""
        assert self.process is not None
        was_running = self.process.poll() is None
        self.process.kill()
        self.process.wait()
        return was_running

    def stop(self) -> None:
        """End it in good order. Raises TimeoutExpired when it does not."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise


@dataclass
class World:
    """What may be killed, and who is asked how things are."""

    folder: Path
    postgres: PostgresServer
    database: str
    planes: list[Server]
    host: Server
    artifacts: Server
    dialled: str
    client: Client
    dice: random.Random
    targets: dict[str, Callable[[], str | None]] = field(default_factory=dict[str, Callable[[], str | None]])
    """By name: kills one and says which, or None when there was none to kill just then."""

    def servers(self) -> list[Server]:
        """All of them, in the order in which they are started."""
        return [self.artifacts, *self.planes, self.host]

    def query(self, sql: str) -> list[str]:
        """The lines of the database's answer."""
        return self.postgres.query(self.database, sql)

    def processes(self) -> list[psutil.Process]:
        """Every live process that belongs to this stage by its environment or its command, this one excepted."""
        found: list[psutil.Process] = []
        mark = str(self.folder)
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                words = [*process.cmdline(), *process.environ().values()]
                if process.pid != os.getpid() and any(mark in word or self.dialled == word for word in words):
                    found.append(process)
        return found

    def jobs(self, role: str) -> list[psutil.Process]:
        """The live processes of jobs of one role."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                is_ours = process.environ().get("SKYSCALE_URL") == self.dialled
                if is_ours and process.cmdline()[1:3] == ["-m", f"skyscale.{role}"]:
                    found.append(process)
        return found

    def kill_job(self, role: str) -> str | None:
        """Kill a job's process; the control plane starts it again."""
        found = self.jobs(role)
        if not found:
            return None
        victim = self.dice.choice(found)
        with suppress(psutil.Error):
            victim.kill()
            return f"{role} {victim.pid}"
        return None

    def kill_server(self, server: Server) -> str | None:
        """Kill a server and start it again a little later."""
        was_running = server.kill()
        time.sleep(self.dice.uniform(0, LONGEST_ABSENCE_S))
        server.start()
        return server.name if was_running else None

    def kill_plane(self) -> str | None:
        """Kill one control plane, now and then all of them at once."""
        victim, *others = self.dice.sample(self.planes, len(self.planes))
        if others and self.dice.random() < ALL_AT_ONCE:
            for other in others:
                other.kill()
                other.start()
            self.kill_server(victim)
            return "all control planes"
        return self.kill_server(victim)

    def kill_postgres(self) -> str | None:
        """Kill the database."""
        self.postgres.kill()
        time.sleep(self.dice.uniform(0, LONGEST_ABSENCE_S))
        self.postgres.start()
        return "postgresql"

    def revive(self) -> None:
        """Start again what ended by itself: whoever runs servers has a supervisor."""
        for server in self.servers():
            if server.process is not None and server.process.poll() is not None:
                server.start()


@contextmanager
def stage(replicas: int, dice: random.Random) -> Generator[World]:
    """Everything, running; at the end whatever is left is ended, however the block ended."""
    binaries = find_binaries()
    if binaries is None:
        sys.exit("chaos needs PostgreSQL's server binaries (initdb, postgres, psql)")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skyscale-chaos-")))
        postgres = PostgresServer(binaries)
        stack.callback(postgres.stop)
        postgres.start()
        world = _world(folder, postgres, replicas, dice)
        stack.callback(_end, world)
        for server in world.servers():
            server.start()
        wait_for(lambda: _answers(world), ANSWER_S, "the control planes to answer")
        yield world


def _world(folder: Path, postgres: PostgresServer, replicas: int, dice: random.Random) -> World:
    ports, database = [free_port() for _ in range(replicas)], postgres.create_database()
    dialled = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    shared = {
        "DATABASE_URL": postgres.url(database), "SKYSCALE_JOB_URL": dialled, "SKYSCALE_MAX_ATTEMPTS": "50",
        "SKYSCALE_SANDBOX_MISSING_LAYERS": "warn", "SKYSCALE_TICKET_TTL_S": "30",
    }  # fmt: skip
    skyscale = [sys.executable, "-m", "skyscale.cli.main"]
    planes = [
        Server(
            f"control plane {port}", [*skyscale, "serve", "--port", str(port), "--data-dir", str(folder)], shared,
            folder / f"serve-{port}.log",
        )
        for port in ports
    ]  # fmt: skip
    port = free_port()
    command = [sys.executable, "-m", "tests.chaos.artifact_server", str(port), str(folder / "bucket")]
    artifacts = Server("artifact server", command, {}, folder / "artifacts.log")
    shared |= {
        "S3_BUCKET": "artifacts", "S3_ENDPOINT": f"http://127.0.0.1:{port}", "S3_ACCESS_KEY": "chaos",
        "S3_SECRET_KEY": "chaos",
    }  # fmt: skip
    home = folder / "host"
    home.mkdir()
    command = [*skyscale, "sandboxd", "--url", dialled, "--port", str(free_port()), "--slots", "2"]
    command += ["--data-dir", str(home), "--missing-layers", "warn"]
    host = Server("sandbox host", command, {}, folder / "sandboxd.log")
    world = World(
        folder,
        postgres,
        database,
        planes,
        host,
        artifacts,
        dialled,
        Client(dialled, timeout_s=10.0, retry_for_s=60.0),
        dice,
    )
    world.targets = {
        "control_plane": world.kill_plane,
        "worker": lambda: world.kill_job("worker"),
        "trainer": lambda: world.kill_job("trainer"),
        "policy": lambda: world.kill_job("policy"),
        "sandbox_host": lambda: world.kill_server(host),
        "postgresql": world.kill_postgres,
        "artifact_server": lambda: world.kill_server(artifacts),
    }
    return world


def _answers(world: World) -> bool:
    for server in world.servers():
        assert server.process is not None
        if server.process.poll() is not None:
            raise RuntimeError(f"{server.name} ended:\n{server.log.read_text()[-3000:]}")
    try:
        for plane in world.dialled.split(","):
            with Client(plane, retry_for_s=0.0) as client:
                client.health()
    except SkyscaleError:
        return False
    return True


def _end(world: World) -> None:
    world.client.close()
    for server in reversed(world.servers()):
        with suppress(subprocess.TimeoutExpired):
            server.stop()
    for process in world.processes():
        with suppress(psutil.Error):
            process.kill()


def wait_for(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll until it holds. Raises TimeoutError with its name."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(0.2)
