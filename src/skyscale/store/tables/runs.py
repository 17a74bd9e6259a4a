"""Runs, their published policy versions and their training metrics."""

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, String, Table

from skyscale.store.tables.base import Json, LongText, Serial, Time, metadata

runs = Table(
    "runs",
    metadata,
    Column("run_id", String(60), primary_key=True),
    Column("request_sha256", String(64), nullable=False),
    Column("idempotency_key", String(200), unique=True),
    Column("spec", Json, nullable=False),
    Column("status", String(16), nullable=False, index=True),
    Column("ending", String(16)),
    Column("reason", LongText),
    Column("has_jobs", Integer, nullable=False),
    Column("policy_url", String(500)),
    Column("policy_job_id", String(100)),
    Column("policy_attempt", Integer),
    Column("policy_healthy_at", Time),
    Column("reload_version", Integer),
    Column("serving_version", Integer, nullable=False),
    Column("newest_version", Integer, nullable=False),
    Column("evaluation_asked", Integer, nullable=False),
    Column("evaluation_done", Integer, nullable=False),
    Column("finish_reason", LongText),
    Column("last_reward", Float),
    Column("best_version", Integer),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("rollouts_started_at", Time),
    Column("finishing_since", Time),
    Column("stopping_since", Time),
    Column("ended_at", Time),
    Index("ix_runs_created_at_run_id", "created_at", "run_id"),
)

policies = Table(
    "policies",
    metadata,
    Column("run_id", String(60), ForeignKey("runs.run_id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("parent", Integer, nullable=False),
    Column("manifest_uri", LongText, nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    Column("published_at", Time, nullable=False),
)

training_metrics = Table(
    "training_metrics",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("run_id", String(60), ForeignKey("runs.run_id"), nullable=False),
    Column("job_id", String(100), nullable=False),
    Column("step", Integer, nullable=False),
    Column("episode_reward", Float),
    Column("loss", Float),
    Column("gpu_util", Float),
    Column("timestamp", BigInteger, nullable=False),
    Column("metrics", Json, nullable=False),
    Index("ix_training_metrics_run_id_id", "run_id", "id"),
)
