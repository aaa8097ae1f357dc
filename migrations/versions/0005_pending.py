"""Held events: sealed until their visitor has answered, and how much is held per source."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

OUTCOMES = "'accepted', 'duplicate', 'rejected', 'held'"


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "held",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("message", postgresql.BYTEA(), nullable=False),
        sa.Column("subjects", postgresql.ARRAY(postgresql.BYTEA()), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column(
            "due_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=True,
        ),
        sa.Column("key_id", postgresql.BYTEA(), nullable=False),
        sa.Column("sealed", postgresql.BYTEA(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("source_id", "message"),
        schema="app",
    )
    op.create_index(
        "held_due",
        "held",
        ["due_at", "id"],
        unique=False,
        schema="app",
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index("held_expires", "held", ["expires_at"], unique=False, schema="app")
    op.create_index(
        "held_subjects",
        "held",
        ["subjects"],
        unique=False,
        schema="app",
        postgresql_using="gin",
    )
    op.create_table(
        "held_room",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="app",
    )
    op.execute(
        "INSERT INTO app.progress (reader, transaction) "
        "VALUES ('pending', pg_snapshot_xmin(pg_current_snapshot()))"
    )
    op.drop_constraint("tally_outcome", "tally", schema="app")
    op.create_check_constraint(
        "tally_outcome",
        "tally",
        f"outcome IN ({OUTCOMES}, 'released', 'destroyed')",
        schema="app",
    )


def downgrade() -> None:
    """Back: what is held is destroyed, and what became of held events no longer counted."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DELETE FROM app.tally WHERE outcome IN ('released', 'destroyed')")
    op.drop_constraint("tally_outcome", "tally", schema="app")
    op.create_check_constraint("tally_outcome", "tally", f"outcome IN ({OUTCOMES})", schema="app")
    op.execute("DELETE FROM app.progress WHERE reader = 'pending'")
    op.drop_table("held_room", schema="app")
    op.drop_table("held", schema="app")
