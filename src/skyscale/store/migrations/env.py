"""Run by Alembic: uses the connection, and the transaction, that `store.migrate` opened."""

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy.sql.elements import False_

from skyscale.store.tables import metadata
from skyscale.store.tables.base import LongText, Time


def render_type(kind: str, value: object, _: AutogenContext) -> str | Literal[False]:
    """Write our own column types as what they are, so that an old revision never depends on today's code."""
    if kind == "type" and isinstance(value, type(Time)):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(value, type(LongText)):
        return "sa.Text()"
    if kind == "server_default" and isinstance(getattr(value, "arg", None), False_):
        return "sa.false()"  # rendered as SQLite's 0, it would be refused by PostgreSQL
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_item=render_type,
    render_as_batch=True,
    transactional_ddl=False,
)
context.run_migrations()
