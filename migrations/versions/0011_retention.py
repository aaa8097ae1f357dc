"""How long events are kept, and which of the deleted ones may still be in the lake's files."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "retention_rule",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("event", sa.Text(), nullable=True),
        sa.Column("days", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "source_id",
            "type",
            "event",
            name="retention_rule_key",
            postgresql_nulls_not_distinct=True,
        ),
        schema="app",
    )
    op.create_table(
        "lake_removal",
        sa.Column("event_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
        schema="app",
    )


def downgrade() -> None:
    """Back: deleted events that the lake has not lost yet would come back into analyses."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("lake_removal", schema="app")
    op.drop_table("retention_rule", schema="app")
