"""Interactive sandboxes: one row each; the processes belong to the control plane that is named as holder.

`lease_until` is renewed by the holder: a row whose lease has lapsed belongs to a control plane that is gone.
`host_id` is the sandbox host that has the processes; without one they are the holder's own children.
"""

from sqlalchemy import Column, Index, String, Table

from skyscale.store.tables.base import Json, LongText, Serial, Time, metadata

sandboxes = Table(
    "sandboxes",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("sandbox_id", String(80), nullable=False, unique=True),
    Column("caller", String(80), nullable=False),
    Column("holder", String(200), nullable=False),
    Column("lease_until", Time, nullable=False),
    Column("status", String(16), nullable=False),
    Column("request", Json, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("last_used_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Column("destroyed_at", Time),
    Column("reason", LongText),
    Column("host_id", String(80)),
    Index("ix_sandboxes_status_caller", "status", "caller"),
    Index("ix_sandboxes_destroyed_at", "destroyed_at"),
)
