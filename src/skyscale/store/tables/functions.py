"""Functions, their immutable versions, what came of calls, and endpoints.

Inputs and outputs are JSON as text: what a call returned is given back to the letter.
"""

from sqlalchemy import Boolean, Column, Float, Index, String, Table, UniqueConstraint

from skyscale.store.tables.base import Json, LongText, Serial, Time, metadata

functions = Table(
    "functions",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("version", String(16), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
)
function_versions = Table(
    "function_versions",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("function", String(80), nullable=False),
    Column("version", String(16), nullable=False),
    Column("spec", Json, nullable=False),
    Column("created_at", Time, nullable=False),
    UniqueConstraint("function", "version"),
)
executions = Table(
    "function_executions",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("execution_id", String(80), nullable=False, unique=True),
    Column("function", String(80), nullable=False),
    Column("version", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("idempotency_key", String(200)),
    Column("holder", String(200), nullable=False),
    Column("lease_until", Time, nullable=False),
    Column("job_id", String(80)),
    Column("input", LongText, nullable=False),
    Column("output", LongText),
    Column("error_message", LongText),
    Column("error_traceback", LongText),
    Column("stdout", LongText, nullable=False),
    Column("stderr", LongText, nullable=False),
    Column("is_cold", Boolean),
    Column("duration_ms", Float),
    Column("created_at", Time, nullable=False),
    Column("started_at", Time),
    Column("ended_at", Time),
    UniqueConstraint("function", "idempotency_key"),
    Index("ix_function_executions_function_seq", "function", "seq"),
    Index("ix_function_executions_status", "status"),
    Index("ix_function_executions_ended_at", "ended_at"),
)
deployments = Table(
    "deployments",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("deployment_id", String(80), nullable=False, unique=True),
    Column("slug", String(100), nullable=False, unique=True),
    Column("app_name", String(40), nullable=False),
    Column("endpoint_name", String(40), nullable=False),
    Column("function", String(80), nullable=False),
    Column("web", Json, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("last_request_at", Time),
)
