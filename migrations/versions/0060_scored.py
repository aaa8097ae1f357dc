"""Which run weighed a match last, beside the one that linked it; reviews by their right side."""

import sqlalchemy as sa
from alembic import op

revision = "0060"
down_revision = "0059"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. A match of before is that of the run that weighed it last: no other is known."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column("link", sa.Column("scored_run_id", sa.BigInteger()), schema="identity")
    op.create_index(
        "review_open_right",
        "review",
        ["right_id"],
        schema="identity",
        postgresql_where=sa.text("decision IS NULL"),
    )


def downgrade() -> None:
    """Back: a match is that of the run that linked it, until the next whole run."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_index("review_open_right", "review", schema="identity")
    op.drop_column("link", "scored_run_id", schema="identity")
