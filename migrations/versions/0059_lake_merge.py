"""Which files of the lake were put together into which: their events are the same."""

import sqlalchemy as sa
from alembic import op

revision = "0059"
down_revision = "0058"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. Of files that were put together before nothing is known, and nothing is needed."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "lake_merge",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column(
            "merged_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("source"),
        schema="app",
    )


def downgrade() -> None:
    """Back: whoever kept answers computes them again once."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("lake_merge", schema="app")
