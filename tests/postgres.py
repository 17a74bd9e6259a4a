"""A PostgreSQL server of a test's own: started in a temporary folder, killed, started again on its data, removed."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

START_S = 30.0
ACCOUNT = "nobody"
NEEDED = ("initdb", "postgres", "psql", "pg_isready")


class PostgresServer:
    """Listens on a free loopback port; a superuser `skyscale` needs no password."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="skyscale-pg-"))
        self._identity = _identity()
        if self._identity:
            os.chown(self._folder, self._identity["user"], self._identity["group"])
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        initdb = [binaries / "initdb", "-D", self._folder / "data", "-U", "skyscale", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*initdb, "--no-sync"], check=True, capture_output=True, cwd=self._folder, **self._identity)

    def start(self) -> None:
        """Start it, on its own data. Raises TimeoutError with its log if it does not answer."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                # After a crash it refuses until the last process of the old one is gone.
                self._process = self._spawn()
            if self._answers():
                return
            time.sleep(0.05)
        raise TimeoutError(f"PostgreSQL did not start:\n{self._log().read_text()[-2000:]}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        options = ["fsync=off", "max_connections=100", "shared_buffers=32MB"]
        command = [self._binaries / "postgres", "-D", self._folder / "data", "-h", "127.0.0.1", "-p", str(self.port)]
        command += ["-k", self._folder, *(part for option in options for part in ("-c", option))]
        with self._log().open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **self._identity)

    def _answers(self) -> bool:
        probe = [self._binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(probe, check=False, capture_output=True).returncode == 0

    def _log(self) -> Path:
        return self._folder / "log"

    def kill(self) -> None:
        """End it with signal 9, as a crash would; its backends end themselves."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def create_database(self) -> str:
        """The name of a new, empty database."""
        name = f"test_{secrets.token_hex(6)}"
        self.query("postgres", f"CREATE DATABASE {name}")
        return name

    def query(self, database: str, sql: str) -> list[str]:
        """The lines of the answer, columns parted by `|`."""
        psql = [self._binaries / "psql", "-qAt", "-h", "127.0.0.1", "-p", str(self.port), "-U", "skyscale", database]
        answer = subprocess.run([*psql, "-c", sql], check=True, capture_output=True, timeout=30)
        return answer.stdout.decode().splitlines()

    def url(self, name: str) -> str:
        """The DATABASE_URL of a database."""
        return f"postgresql+asyncpg://skyscale@{self.address}/{name}"

    def stop(self) -> None:
        """End it and remove all of it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # does not wait for clients
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def find_binaries() -> Path | None:
    """The folder of the server and its tools on this machine."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if all((f / each).exists() for each in NEEDED)), None)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _identity() -> dict[str, Any]:
    """Whom to run the server as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    import pwd

    account = pwd.getpwnam(ACCOUNT)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
