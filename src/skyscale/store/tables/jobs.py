"""Jobs: one row per job for its whole life; every attempt updates it.

`lock_token` is held by the scheduler that acts on the row between two transactions; it lapses at `lock_expires_at`.
Tokens of jobs are not here: they are made when a process is started and only the process has them.
"""

from sqlalchemy import Boolean, Column, Float, Index, Integer, String, Table, Text, false

from skyscale.store.tables.base import Json, LongText, Serial, Time, metadata

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("job_id", String(80), nullable=False, unique=True),
    Column("run_id", String(64), nullable=True),
    Column("role", String(16), nullable=False),
    Column("index", Integer, nullable=False),
    Column("provider", String(40), nullable=False),
    Column("gpu_model", String(40), nullable=False),
    # `on_demand` or `preemptible`; null is whatever the provider gives.
    Column("capacity", String(16), nullable=True),
    # Where it may run, in order, of which `provider` is the present one; null when it was named.
    Column("places", Json, nullable=True),
    # What to run: the run's spec, or the request of a custom job.
    Column("spec", Json, nullable=True),
    Column("request", Json, nullable=True),
    Column("request_sha256", String(64), nullable=True),
    Column("timeout_s", Float, nullable=True),
    Column("max_attempts", Integer, nullable=False),
    # What is wanted.
    Column("desired", String(8), nullable=False),
    Column("held", Boolean, nullable=False, server_default=false()),
    Column("finish_asked_at", Time, nullable=True),
    # Why it is to stop, when nobody asked for that.
    Column("stop_reason", LongText, nullable=True),
    # What is.
    Column("status", String(16), nullable=False),
    Column("reason", LongText, nullable=True),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("crashes", Integer, nullable=False, server_default="0"),
    Column("due_at", Time, nullable=False),
    # When the present attempt was handed to its provider: the intent, on record before the call.
    Column("asked_at", Time, nullable=True),
    Column("handle", Text, nullable=True),
    Column("exit_code", Integer, nullable=True),
    Column("lock_token", String(40), nullable=True),
    Column("lock_expires_at", Time, nullable=True),
    # What the process last said of itself.
    Column("heartbeat_at", Time, nullable=True),
    Column("detail", LongText, nullable=False, server_default=""),
    Column("policy_version", Integer, nullable=True),
    Column("metrics", Json, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("started_at", Time, nullable=True),
    Column("ended_at", Time, nullable=True),
    Index("ix_jobs_run_id", "run_id"),
    Index("ix_jobs_status", "status"),
)
