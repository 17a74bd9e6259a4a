"""The metadata that all tables register with, and the column types both databases understand."""

from sqlalchemy import JSON, BigInteger, DateTime, Integer, MetaData
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Json = JSON().with_variant(JSONB(), "postgresql")
"""A JSON document."""
Time = DateTime(timezone=True)
"""An aware time in UTC; SQLite returns it naive, so readers add UTC."""
Serial = BigInteger().with_variant(Integer(), "sqlite")
"""An auto-incrementing primary key (SQLite increments INTEGER only)."""
