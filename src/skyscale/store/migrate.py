"""Migrations from inside the package: every start of the control plane brings its database up to date.

    python -m skyscale.store.migrate                 upgrade the database of the environment's settings
    python -m skyscale.store.migrate --new "text"    write a revision for what `tables/` has and the revisions lack

- One process migrates at a time: SQLite by its write lock, PostgreSQL by an advisory lock.
- A migration that cannot get its table lock within five seconds fails instead of stopping all traffic behind it.
- A revision lies in `migrations/versions`, is never edited once released, and works on both databases.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from skyscale.settings import Settings
from skyscale.store.engine import Database

FOLDER = Path(__file__).parent / "migrations"
LOCK_TIMEOUT = "5s"
ADVISORY_LOCK = 7_315_921_001
"""Any number that nothing else in the database uses."""


async def upgrade(database: Database) -> None:
    """Bring the database to the newest revision; does nothing when it is there already."""
    async with database.write() as connection:
        await connection.run_sync(_upgrade)


def new_revision(message: str) -> None:
    """Write a revision that takes a database at the newest revision to what the tables say now."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_autogenerate(f"sqlite+aiosqlite:///{folder}/scratch.db", message))


async def _autogenerate(url: str, message: str) -> None:
    database = Database(url)
    await upgrade(database)
    async with database.write() as connection:
        await connection.run_sync(lambda sync: command.revision(_config(sync), message=message, autogenerate=True))
    await database.close()


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


async def _upgrade_from_environment() -> None:
    settings = Settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.sqlalchemy_url)
    await upgrade(database)
    await database.close()


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--new":
        new_revision(sys.argv[2])
    elif len(sys.argv) == 1:
        asyncio.run(_upgrade_from_environment())
    else:
        sys.exit(__doc__)
