"""A segment says how many members it has: the list counted fifty times a million of them."""

import sqlalchemy as sa
from alembic import op

revision = "0067"
down_revision = "0066"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. Who is in is counted once more."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column(
        "segment",
        sa.Column("members", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        schema="app",
    )
    op.execute(
        "UPDATE app.segment s SET members = m.members FROM (SELECT segment_id, count(*) AS members"
        " FROM app.segment_member WHERE left_at IS NULL GROUP BY segment_id) m"
        " WHERE m.segment_id = s.id"
    )


def downgrade() -> None:
    """Back: they are counted when somebody asks."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("segment", "members", schema="app")
