"""Events of runs, and the counter that numbers them."""

from sqlalchemy import BigInteger, Column, String, Table

from skyscale.store.tables.base import Json, LongText, Time, metadata

event_counters = Table(
    "event_counters",
    metadata,
    Column("run_id", String(60), primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("run_id", String(60), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("timestamp", Time, nullable=False),
    Column("component", LongText, nullable=False),
    Column("level", String(10), nullable=False),
    Column("kind", LongText, nullable=False),
    Column("message", LongText, nullable=False),
    Column("data", Json, nullable=False),
)
