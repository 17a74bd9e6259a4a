"""What runs, jobs of their own and services have cost so far: one row each, from its creation."""

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, false

from skyscale.store.tables.base import Json, Time, metadata

run_costs = Table(
    "run_costs",
    metadata,
    Column("run_id", String(60), ForeignKey("runs.run_id"), primary_key=True),
    Column("gpu_s", Float, nullable=False),
    Column("cpu_s", Float, nullable=False),
    Column("sandbox_s", Float, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("usd", Float, nullable=False),
    Column("usd_per_hour", Float, nullable=False),
    Column("max_cost_usd", Float),
    Column("unpriced", Json, nullable=False),
    # Job -> [attempt, tokens it had sampled when it was last asked].
    Column("counters", Json, nullable=False),
    Column("told_percent", Integer, nullable=False),
    # The newest version that was seen, and when something was last sampled or published.
    Column("version", Integer, nullable=False),
    Column("active_at", Time, nullable=False),
    Column("metered_at", Time, nullable=False),
    Column("is_closed", Boolean, nullable=False, server_default=false()),
)

job_costs = Table(
    "job_costs",
    metadata,
    # Of jobs of their own; what a run's jobs cost is the run's.
    Column("job_id", String(80), primary_key=True),
    Column("gpu_s", Float, nullable=False),
    Column("cpu_s", Float, nullable=False),
    Column("usd", Float, nullable=False),
    Column("usd_per_hour", Float, nullable=False),
    Column("max_cost_usd", Float),
    Column("unpriced", Json, nullable=False),
    Column("metered_at", Time, nullable=False),
    Column("is_closed", Boolean, nullable=False, server_default=false()),
    Index("ix_job_costs_is_closed", "is_closed"),
)

service_costs = Table(
    "service_costs",
    metadata,
    # The provider's id; the service itself is on record there and nowhere else.
    Column("service_id", String(80), primary_key=True),
    Column("name", String(60), nullable=False),
    # Whose services it is among: control planes with another data folder see others.
    Column("owner", String(40), nullable=False),
    Column("vcpus", Float, nullable=False),
    Column("memory_gb", Float, nullable=False),
    Column("running_s", Float, nullable=False),
    Column("usd", Float, nullable=False),
    Column("usd_per_hour", Float, nullable=False),
    Column("max_cost_usd", Float),
    # Whether it ran when it was last looked at.
    Column("is_running", Boolean, nullable=False),
    Column("opened_at", Time, nullable=False),
    Column("metered_at", Time, nullable=False),
    Column("is_closed", Boolean, nullable=False, server_default=false()),
)
