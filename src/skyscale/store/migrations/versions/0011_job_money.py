"""capacity of jobs, why they were stopped, what jobs of their own and services cost; when replicas last beat."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("capacity", sa.String(length=16), nullable=True))
        batch_op.add_column(sa.Column("stop_reason", sa.Text(), nullable=True))
    with op.batch_alter_table("replicas", schema=None) as batch_op:
        batch_op.add_column(sa.Column("beat_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "job_costs",
        sa.Column("job_id", sa.String(length=80), nullable=False),
        sa.Column("gpu_s", sa.Float(), nullable=False),
        sa.Column("cpu_s", sa.Float(), nullable=False),
        sa.Column("usd", sa.Float(), nullable=False),
        sa.Column("usd_per_hour", sa.Float(), nullable=False),
        sa.Column("max_cost_usd", sa.Float(), nullable=True),
        sa.Column("unpriced", json, nullable=False),
        sa.Column("metered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_closed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_costs")),
    )
    op.create_index("ix_job_costs_is_closed", "job_costs", ["is_closed"], unique=False)
    op.create_table(
        "service_costs",
        sa.Column("service_id", sa.String(length=80), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("owner", sa.String(length=40), nullable=False),
        sa.Column("vcpus", sa.Float(), nullable=False),
        sa.Column("memory_gb", sa.Float(), nullable=False),
        sa.Column("running_s", sa.Float(), nullable=False),
        sa.Column("usd", sa.Float(), nullable=False),
        sa.Column("usd_per_hour", sa.Float(), nullable=False),
        sa.Column("max_cost_usd", sa.Float(), nullable=True),
        sa.Column("is_running", sa.Boolean(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("metered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_closed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("service_id", name=op.f("pk_service_costs")),
    )


def downgrade() -> None:
    op.drop_table("service_costs")
    op.drop_index("ix_job_costs_is_closed", table_name="job_costs")
    op.drop_table("job_costs")
    with op.batch_alter_table("replicas", schema=None) as batch_op:
        batch_op.drop_column("beat_at")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("stop_reason")
        batch_op.drop_column("capacity")
