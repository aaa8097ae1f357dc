"""Analyses are saved, asked again on a schedule, and what they find is told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0072"
down_revision = "0071"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. Nothing is saved yet."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "saved_analysis",
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("definition", JSONB(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("of_traits", sa.Boolean(), nullable=False),
        sa.Column("saved_at", moment, nullable=False),
        sa.Column("due_at", moment, nullable=False),
        sa.Column("looked_at", moment),
        sa.Column("state", JSONB(), nullable=False, server_default="{}"),
        schema="app",
    )
    op.create_index("ix_app_saved_analysis_due_at", "saved_analysis", ["due_at"], schema="app")
    op.create_table(
        "analysis_alert",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column(
            "saved",
            sa.Text(),
            sa.ForeignKey("app.saved_analysis.key", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("found", JSONB(), nullable=False),
        sa.Column("raised_at", moment, nullable=False),
        sa.Column("ended_at", moment),
        sa.Column("tries", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("due_at", moment),
        sa.Column("told_at", moment),
        sa.Column("why_untold", sa.Text()),
        schema="app",
    )
    op.create_index("ix_app_analysis_alert_saved", "analysis_alert", ["saved"], schema="app")
    op.create_index(
        "analysis_alert_open",
        "analysis_alert",
        ["saved", "what"],
        unique=True,
        schema="app",
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def downgrade() -> None:
    """Back: what was saved is gone."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("analysis_alert", schema="app")
    op.drop_table("saved_analysis", schema="app")
