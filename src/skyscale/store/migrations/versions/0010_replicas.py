"""several control planes: replicas and their leader; what was judged of a group; runs that cannot go on."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leaders",
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=True),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("beats", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("office", name=op.f("pk_leaders")),
    )
    op.create_table(
        "replicas",
        sa.Column("replica_id", sa.String(length=200), nullable=False),
        sa.Column("url", sa.String(length=500), nullable=False),
        sa.Column("beats", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("replica_id", name=op.f("pk_replicas")),
    )
    judged = sa.JSON().with_variant(postgresql.JSONB(astext_type=Text()), "postgresql")
    with op.batch_alter_table("buffer_groups", schema=None) as batch_op:
        batch_op.add_column(sa.Column("judged", judged, nullable=True))
    with op.batch_alter_table("buffer_runs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("hopeless", sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("buffer_runs", schema=None) as batch_op:
        batch_op.drop_column("hopeless")
    with op.batch_alter_table("buffer_groups", schema=None) as batch_op:
        batch_op.drop_column("judged")
    op.drop_table("replicas")
    op.drop_table("leaders")
