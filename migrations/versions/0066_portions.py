"""Syncs go through everybody in portions, and how far each is; destinations rest ever longer."""

import sqlalchemy as sa
from alembic import op

revision = "0066"
down_revision = "0065"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. What is queued of the syncs before stays queued."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column(
        "destination",
        sa.Column("busy", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        schema="app",
    )
    now = sa.func.clock_timestamp()
    op.create_table(
        "destination_sync",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column(
            "destination_id",
            sa.BigInteger(),
            sa.ForeignKey("app.destination.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("after", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("people", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("queued", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.Column("begun_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("error", sa.Text()),
        sa.CheckConstraint(
            "what IN ('changes', 'everything', 'failed')", name="destination_sync_what"
        ),
        sa.CheckConstraint(
            "stage IN ('members', 'gone', 'held', 'failed')", name="destination_sync_stage"
        ),
        schema="app",
    )
    op.create_index(
        "destination_sync_of", "destination_sync", ["destination_id", "id"], schema="app"
    )


def downgrade() -> None:
    """Back: who was not queued yet is queued by `parcours destination sync`."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("destination_sync", schema="app")
    op.drop_column("destination", "busy", schema="app")
