"""Sandbox hosts: one row per process that reported itself; `report` is what it said last."""

from sqlalchemy import Column, Index, String, Table

from skyscale.store.tables.base import Json, LongText, Time, metadata

sandbox_hosts = Table(
    "sandbox_hosts",
    metadata,
    Column("host_id", String(80), primary_key=True),
    Column("url", String(300), nullable=False),
    Column("state", String(16), nullable=False),
    Column("report", Json, nullable=False),
    Column("registered_at", Time, nullable=False),
    Column("seen_at", Time, nullable=False),
    Column("reason", LongText),
    Index("ix_sandbox_hosts_state", "state"),
)
