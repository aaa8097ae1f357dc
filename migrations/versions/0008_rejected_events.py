"""Rejected events can be corrected and replayed, and are bounded."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
NAMES = (
    "details", "message_id", "type", "name", "state", "size", "truncated", "replayable", "attempts",
    "corrected_at", "corrected_by", "closed_at", "closed_by", "outcome", "result_message_id",
)  # fmt: skip


def upgrade() -> None:
    """Forward. What was kept before can be read and, with a correction, replayed."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    for column in (
        sa.Column("details", postgresql.JSON(none_as_null=True), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("size", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("truncated", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("replayable", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("corrected_at", TIME, nullable=True),
        sa.Column("corrected_by", sa.Text(), nullable=True),
        sa.Column("closed_at", TIME, nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("result_message_id", sa.Text(), nullable=True),
    ):
        op.add_column("rejected_event", column, schema="app")
    op.create_check_constraint(
        "rejected_event_state",
        "rejected_event",
        "state IN ('open', 'replayed', 'discarded')",
        schema="app",
    )
    op.execute("UPDATE app.rejected_event SET size = coalesce(octet_length(payload), 0)")
    op.create_index("rejected_event_code", "rejected_event", ["code", "id"], schema="app")
    op.create_index(
        "rejected_event_open",
        "rejected_event",
        ["id"],
        schema="app",
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index("rejected_event_received", "rejected_event", ["received_at"], schema="app")
    op.create_table(
        "rejected_count",
        sa.Column("source_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hour_at", TIME, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source_id", "hour_at", "code", "why"),
        schema="app",
    )
    op.create_table(
        "rejected_room",
        sa.Column("source_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("minute_at", TIME, nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source_id"),
        schema="app",
    )


def downgrade() -> None:
    """Back: what was replayed or discarded is forgotten."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("rejected_room", schema="app")
    op.drop_table("rejected_count", schema="app")
    for name in ("rejected_event_received", "rejected_event_open", "rejected_event_code"):
        op.drop_index(name, "rejected_event", schema="app")
    op.execute("DELETE FROM app.rejected_event WHERE state <> 'open'")
    op.drop_constraint("rejected_event_state", "rejected_event", schema="app")
    for name in reversed(NAMES):
        op.drop_column("rejected_event", name, schema="app")
