"""A job that fails says so, and since when."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column(
        "heartbeat",
        sa.Column("failing_since", postgresql.TIMESTAMP(timezone=True)),
        schema="app",
    )


def downgrade() -> None:
    """Back."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("heartbeat", "failing_since", schema="app")
