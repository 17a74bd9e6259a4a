"""The real app over a real database: SQLite in a folder, and a PostgreSQL server started for this session."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from skyscale.api.app import create_app
from skyscale.api.services import running
from skyscale.settings import Settings
from skyscale.store.tables import metadata

POSTGRES_START_S = 30


@pytest.fixture(scope="session")
def postgres_server() -> Generator[str]:
    """Host and port of a PostgreSQL server of this session's own, e.g. `127.0.0.1:5433`."""
    binaries = _postgres_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server binaries (initdb, postgres) on this machine")
    account = _unprivileged_account()
    folder = Path(tempfile.mkdtemp(prefix="skyscale-pg-"))
    try:
        if account is not None:
            os.chown(folder, *account)
        identity = {"user": account[0], "group": account[1], "extra_groups": []} if account else {}
        subprocess.run(
            [binaries / "initdb", "-D", folder / "data", "-U", "skyscale", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True, capture_output=True, cwd=folder, **identity,
        )  # fmt: skip
        port = _free_port()
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", folder,
                 "-c", "fsync=off", "-c", "max_connections=60", "-c", "shared_buffers=32MB"],
                stdout=subprocess.DEVNULL, stderr=log, cwd=folder, **identity,
            )  # fmt: skip
        try:
            _wait_for(server, port, folder / "log")
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[str]:
    """The address of an empty database, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'test.db'}"
        return
    address = request.getfixturevalue("postgres_server")
    name = f"test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(f"postgresql://skyscale@{address}/postgres")
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        yield f"postgresql+asyncpg://skyscale@{address}/{name}"
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings of an app with a data folder of its own; override this fixture to change them."""
    return Settings(data_dir=tmp_path / "data", database_url=database_url)


@pytest.fixture
async def app(settings: Settings) -> AsyncGenerator[FastAPI]:
    """The app with its reconcilers running; `app.state.services` holds the parts."""
    application = create_app(settings)
    parts = application.state.services
    async with parts.database.write() as connection:
        await connection.run_sync(metadata.create_all)
    async with running(parts):
        yield application


@pytest.fixture
async def client(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    """An operator on this machine."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as http:
        yield http


def _postgres_binaries() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "postgres").exists() and (f / "initdb").exists()), None)


def _unprivileged_account() -> tuple[int, int] | None:
    """Whom to run the server as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    import pwd

    account = pwd.getpwnam("nobody")
    return account.pw_uid, account.pw_gid


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + POSTGRES_START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            pytest.fail(f"PostgreSQL ended at once: {log.read_text()[-2000:]}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0 and "ready to accept" in log.read_text():
                return
        time.sleep(0.05)
    pytest.fail("PostgreSQL did not start in time")
