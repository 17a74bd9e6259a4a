"""Tables of the buffer: runs that are open for rollouts, groups from ticket to trained, payloads, leases.

`buffer_groups` is small and is scanned; the JSON of a group is in `buffer_payloads`, written once and never rewritten.
"""

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, String, Table

from skyscale.store.tables.base import Json, LongText, Serial, Time, metadata

buffer_runs = Table(
    "buffer_runs",
    metadata,
    Column("run_id", String(80), primary_key=True),
    Column("state", String(16), nullable=False),  # preparing and finishing (evaluation only), open, closed
    Column("spec", Json, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("newest_version", Integer, nullable=False),
    Column("next_sequence", BigInteger, nullable=False),
    Column("hopeless", LongText),  # why its environment leaves it no future
)

buffer_groups = Table(
    "buffer_groups",
    metadata,
    Column("group_id", String(80), primary_key=True),
    Column("run_id", String(80), ForeignKey("buffer_runs.run_id"), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("purpose", String(8), nullable=False),
    Column("problem_id", String(80), nullable=False),
    Column("version", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("request_id", String(64)),
    Column("expires_at", Time),
    Column("pushed_at", Time),
    Column("kept", Integer, nullable=False),
    Column("dropped", Integer, nullable=False),
    Column("min_version", Integer),
    Column("reward_sum", Float, nullable=False),
    Column("reward_min", Float),
    Column("reward_max", Float),
    Column("truncated", Integer),
    Column("passed", Integer),
    Column("lease_id", String(80)),
    Column("judged", Json),  # rewards by program or episode, until it is pushed
    Index("ix_buffer_groups_run_state", "run_id", "purpose", "state", "sequence"),
    Index("ix_buffer_groups_pushed", "run_id", "pushed_at"),
    Index("ix_buffer_groups_request", "run_id", "request_id"),
    Index("ix_buffer_groups_lease", "lease_id"),
)

buffer_payloads = Table(
    "buffer_payloads",
    metadata,
    Column("group_id", String(80), ForeignKey("buffer_groups.group_id"), primary_key=True),
    Column("payload", LargeBinary, nullable=False),
)

buffer_leases = Table(
    "buffer_leases",
    metadata,
    Column("lease_id", String(80), primary_key=True),
    Column("run_id", String(80), ForeignKey("buffer_runs.run_id"), nullable=False),
    Column("trainer_id", String(200), nullable=False),
    Column("state", String(16), nullable=False),
    Column("num_groups", Integer, nullable=False),
    Column("granted_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Index("ix_buffer_leases_run_state", "run_id", "state"),
)

buffer_trajectories = Table(
    "buffer_trajectories",
    metadata,
    Column("row_id", Serial, primary_key=True, autoincrement=True),
    Column("trajectory_id", String(80), nullable=False),
    Column("run_id", String(80), ForeignKey("buffer_runs.run_id"), nullable=False),
    Column("consumed", Boolean, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("created_at", Time, nullable=False),
    Index("ix_buffer_trajectories_run_consumed", "run_id", "consumed", "row_id"),
    Index("uq_buffer_trajectories_id", "run_id", "trajectory_id", unique=True),
)
