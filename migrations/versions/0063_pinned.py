"""Which version of what matching has learnt somebody holds on to."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0063"
down_revision = "0062"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. None is pinned: the latest counts."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    time = postgresql.TIMESTAMP(timezone=True)
    op.add_column("model", sa.Column("pinned_at", time), schema="identity")
    op.add_column("model", sa.Column("pinned_by", sa.Text()), schema="identity")


def downgrade() -> None:
    """Back: the latest counts."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("model", "pinned_by", schema="identity")
    op.drop_column("model", "pinned_at", schema="identity")
