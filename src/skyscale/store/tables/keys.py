"""API keys. The secret is not here: its SHA-256 is, which is enough to recognise 256 random bits."""

from sqlalchemy import Column, Index, String, Table

from skyscale.store.tables.base import Serial, Time, metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("key_id", String(40), nullable=False, unique=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("start", String(16), nullable=False),
    Column("name", String(80), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time),
    Column("last_used_at", Time),
    Column("revoked_at", Time),
    Index("ix_api_keys_owner", "owner"),
)
