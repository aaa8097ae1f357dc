"""When each attribute of a record was said: the last word counts, not the last arrival."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0061"
down_revision = "0060"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. What is on record has no times: whatever is said next counts, as before."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    # A default writes no row anew.
    op.add_column(
        "record",
        sa.Column("said_at", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        schema="identity",
    )


def downgrade() -> None:
    """Back: the last arrival counts."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("record", "said_at", schema="identity")
