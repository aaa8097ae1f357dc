"""What tells a file of the lake that was written from one that is damaged."""

import sqlalchemy as sa
from alembic import op

revision = "0079"
down_revision = "0078"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column("lake_part", sa.Column("checksum", sa.Text()), schema="app")


def downgrade() -> None:
    """Back."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("lake_part", "checksum", schema="app")
