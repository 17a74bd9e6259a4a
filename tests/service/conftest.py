"""The real app over a real database: SQLite in a folder, and a PostgreSQL server started for this session."""

import secrets
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from skyscale.api.app import create_app
from skyscale.api.services import running
from skyscale.settings import Settings
from skyscale.store.engine import Database
from skyscale.store.tables import metadata
from tests.postgres import PostgresServer, find_binaries
from tests.service.buffer_bench import Bench, spec


@pytest.fixture(scope="session")
def postgres_server() -> Generator[str]:
    """Host and port of a PostgreSQL server of this session's own, e.g. `127.0.0.1:5433`."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server binaries (initdb, postgres) on this machine")
    server = PostgresServer(binaries)
    try:
        server.start()
        yield server.address
    finally:
        server.stop()


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
async def database(database_url: str) -> AsyncGenerator[Database]:
    """A database with every table and no row, once of each kind."""
    made = Database(database_url)
    async with made.write() as connection:
        await connection.run_sync(metadata.create_all)
    yield made
    await made.close()


@pytest.fixture
async def bench(database: Database) -> Bench:
    """A buffer with one run, on both databases."""
    bench = Bench(database)
    await bench.open(spec())
    return bench


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings of an app with a data folder of its own; override this fixture to change them."""
    return Settings(data_dir=tmp_path / "data", database_url=database_url)


@pytest.fixture
async def app(settings: Settings) -> AsyncGenerator[FastAPI]:
    """The app with its reconcilers running; `app.state.services` holds the parts."""
    application = create_app(settings)
    async with running(application.state.services):
        yield application


@pytest.fixture
async def client(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    """An operator on this machine."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as http:
        yield http
