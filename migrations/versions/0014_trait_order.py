"""A trait knows the place of its event in its source, which orders what was said at one time."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column("trait", sa.Column("source_seq", sa.BigInteger()), schema="app")


def downgrade() -> None:
    """Back."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("trait", "source_seq", schema="app")
