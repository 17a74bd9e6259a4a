"""Migrations from inside the package: every start of the control plane brings its database up to date.

    python -m skyscale.store.migrate                 upgrade the database of the environment's settings
    python -m skyscale.store.migrate --new "text"    write a revision for what `tables/` has and the revisions lack

- One process migrates at a time: SQLite by its write lock, PostgreSQL by an advisory lock, which others wait for. A
  database that is at the newest revision is only read.
- A migration that cannot get its table lock within five seconds lets all traffic pass and tries again, a few times.
- A database that a newer Skyscale has migrated is refused: this one does not know its tables.
- A revision lies in `migrations/versions`, is never edited once released, and works on both databases.
"""

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from skyscale.errors import Unavailable
from skyscale.settings import Settings
from skyscale.store.engine import Database

log = logging.getLogger(__name__)
FOLDER = Path(__file__).parent / "migrations"
LOCK_TIMEOUT = "5s"
TURN_TIMEOUT = "300s"
"""How long another process may migrate before this one gives up waiting for it."""
ATTEMPTS = 5
PAUSE_S = 1.0
NO_LOCK = "55P03"
ADVISORY_LOCK = 7_315_921_001
"""Any number that nothing else in the database uses."""


async def upgrade(database: Database) -> None:
    """Bring the database to the newest revision; does nothing when it is there already.

    Raises:
        Unavailable: `database_newer`; or `migration_blocked`, others use its tables all the time.
    """
    async with database.read() as connection:
        if await connection.run_sync(_is_current):
            return
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with database.write() as connection:
                await connection.run_sync(_upgrade)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != NO_LOCK:
                raise
            log.warning("the migration did not get its locks, attempt %d of %d", attempt, ATTEMPTS)
            await asyncio.sleep(PAUSE_S * attempt)
        else:
            return
    raise Unavailable(
        "the database could not be migrated: other connections hold its tables",
        code="migration_blocked", hint="Stop the other control planes, or end long transactions, and start again.",
    )  # fmt: skip


def _is_current(connection: Connection) -> bool:
    """Whether nothing is to be done. Raises Unavailable for revisions that are not known here."""
    scripts = ScriptDirectory(str(FOLDER))
    found = set(MigrationContext.configure(connection).get_current_heads())
    if unknown := found - {revision.revision for revision in scripts.walk_revisions()}:
        raise Unavailable(
            f"the database is at revision {', '.join(sorted(unknown))}, which this Skyscale does not know",
            code="database_newer", hint="A newer version has migrated it: run that one.",
        )  # fmt: skip
    return found == set(scripts.get_heads())


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
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{TURN_TIMEOUT}'")
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
