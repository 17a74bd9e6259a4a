"""sandbox hosts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sandbox_hosts",
        sa.Column("host_id", sa.String(length=80), nullable=False),
        sa.Column("url", sa.String(length=300), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("report", sa.JSON().with_variant(postgresql.JSONB(astext_type=Text()), "postgresql"), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("host_id", name=op.f("pk_sandbox_hosts")),
    )
    with op.batch_alter_table("sandbox_hosts", schema=None) as batch_op:
        batch_op.create_index("ix_sandbox_hosts_state", ["state"], unique=False)
    with op.batch_alter_table("sandboxes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("host_id", sa.String(length=80), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("sandboxes", schema=None) as batch_op:
        batch_op.drop_column("host_id")
    with op.batch_alter_table("sandbox_hosts", schema=None) as batch_op:
        batch_op.drop_index("ix_sandbox_hosts_state")
    op.drop_table("sandbox_hosts")
