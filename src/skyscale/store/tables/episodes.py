"""Table of single episodes (`reset`, `step`, `close`): which problem an open sandbox id stands for."""

from sqlalchemy import Column, Index, Integer, String, Table

from skyscale.store.tables.base import Time, metadata

episodes = Table(
    "episodes",
    metadata,
    Column("sandbox_id", String(80), primary_key=True),
    Column("episode_id", String(80), nullable=False),
    Column("problem_set", String(200), nullable=False),
    Column("problem_id", String(80), nullable=False),
    Column("run_id", String(80)),
    Column("steps", Integer, nullable=False),
    Column("touched_at", Time, nullable=False),
    Column("closed_at", Time),
    Index("ix_episodes_closed_touched", "closed_at", "touched_at"),
)
