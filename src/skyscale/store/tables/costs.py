"""What each run has cost so far: one row per run, from its creation."""

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Integer, String, Table, false

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
