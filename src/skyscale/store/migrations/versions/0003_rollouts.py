"""What a group's episodes earned, detailed verdicts, and the best version of a run."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

GROUP_COLUMNS: dict[str, Any] = {
    "reward_min": sa.Float,
    "reward_max": sa.Float,
    "truncated": sa.Integer,
    "passed": sa.Integer,
}


def upgrade() -> None:
    for name, kind in GROUP_COLUMNS.items():
        op.add_column("buffer_groups", sa.Column(name, kind(), nullable=True))
    op.add_column("runs", sa.Column("best_version", sa.Integer(), nullable=True))
    op.create_table(
        "rollout_verdicts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("group_id", sa.String(length=80), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout_verdicts")),
    )
    op.create_index("ix_rollout_verdicts_group_id", "rollout_verdicts", ["group_id"])


def downgrade() -> None:
    op.drop_index("ix_rollout_verdicts_group_id", table_name="rollout_verdicts")
    op.drop_table("rollout_verdicts")
    op.drop_column("runs", "best_version")
    for name in GROUP_COLUMNS:
        op.drop_column("buffer_groups", name)
