"""Destinations that each person must allow for more than one purpose, as Google's lists do."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0078"
down_revision = "0077"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column(
        "destination",
        sa.Column("also_for", ARRAY(sa.Text()), nullable=False, server_default="{}"),
        schema="app",
    )


def downgrade() -> None:
    """Back."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("destination", "also_for", schema="app")
