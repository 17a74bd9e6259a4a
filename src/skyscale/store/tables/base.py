"""The metadata that all tables register with, and the column types both databases understand."""

from datetime import UTC, datetime

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class _UtcTime(TypeDecorator[datetime]):
    """SQLite keeps no time zone, so UTC is put back on what it returns."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class _AnyText(TypeDecorator[str]):
    """Text from outside: what no database can hold (NUL, unpaired surrogates) becomes the replacement character."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


Json = JSON().with_variant(JSONB(), "postgresql")
"""A JSON document."""
Time = _UtcTime()
"""An aware time in UTC, on both databases, written and read."""
LongText = _AnyText()
"""Text of any length that a caller or a model wrote."""
Serial = BigInteger().with_variant(Integer(), "sqlite")
"""An auto-incrementing primary key (SQLite increments INTEGER only)."""
