"""What the judge said of programs in detail; one row per judged call, any number of them for a group.

Written in the background and swept with the group's payload; a reward never depends on it.
"""

from sqlalchemy import Column, Index, LargeBinary, String, Table

from skyscale.store.tables.base import Serial, metadata

rollout_verdicts = Table(
    "rollout_verdicts",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("group_id", String(80), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("ix_rollout_verdicts_group_id", "group_id"),
)
