"""Destinations that speak OpenDSR, and what was passed on to them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
STATUSES = "'open', 'pending', 'in_progress', 'completed', 'cancelled', 'unsupported'"


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "processor",
        sa.Column("destination_id", sa.BigInteger(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("credentials", sa.Text(), nullable=True),
        sa.Column("registered", sa.Text(), nullable=True),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("kinds", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("identities", postgresql.JSONB(), nullable=False),
        sa.Column("discovered_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("destination_id"),
        sa.ForeignKeyConstraint(["destination_id"], ["app.destination.id"], ondelete="CASCADE"),
        schema="app",
    )
    op.create_index("ix_app_processor_domain", "processor", ["domain"], schema="app")
    op.create_table(
        "processor_request",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("destination_id", sa.BigInteger(), nullable=False),
        sa.Column("identities", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("expected_at", TIME, nullable=True),
        sa.Column("results_url", sa.Text(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("request_id", "destination_id"),
        sa.ForeignKeyConstraint(["request_id"], ["app.privacy_request.id"], ondelete="CASCADE"),
        sa.CheckConstraint(f"status IN ({STATUSES})", name="processor_request_status"),
        schema="app",
    )
    op.create_index(
        "processor_request_due",
        "processor_request",
        ["due_at"],
        schema="app",
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def downgrade() -> None:
    """Back: what was passed on is not known any more; the tasks of requests say what came of it."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("processor_request", schema="app")
    op.drop_table("processor", schema="app")
