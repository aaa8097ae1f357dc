"""A rejected event remembers that its request carried Global Privacy Control."""

import sqlalchemy as sa
from alembic import op

revision = "0083"
down_revision = "0080"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column(
        "rejected_event",
        sa.Column("gpc", sa.Boolean(), server_default=sa.false(), nullable=False),
        schema="app",
    )


def downgrade() -> None:
    """Back: whose correction says nothing of it loses it again."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("rejected_event", "gpc", schema="app")
