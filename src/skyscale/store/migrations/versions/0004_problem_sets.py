"""problem sets."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.JSON().with_variant(postgresql.JSONB(astext_type=Text()), "postgresql")
    op.create_table(
        "problem_set_versions",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=16), nullable=False),
        sa.Column("content_hash", sa.String(length=80), nullable=False),
        sa.Column("is_ready", sa.Boolean(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("counts", json, nullable=False),
        sa.Column("notes", json, nullable=False),
        sa.Column("solutions_checked", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uploaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_problem_set_versions")),
    )
    with op.batch_alter_table("problem_set_versions", schema=None) as batch_op:
        batch_op.create_index("uq_problem_set_versions_name_version", ["name", "version"], unique=True)


def downgrade() -> None:
    with op.batch_alter_table("problem_set_versions", schema=None) as batch_op:
        batch_op.drop_index("uq_problem_set_versions_name_version")
    op.drop_table("problem_set_versions")
