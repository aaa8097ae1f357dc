"""Breaches of personal data, and what was done about each."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
APPEND_ONLY = """
CREATE TRIGGER breach_event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON app.breach_event
  FOR EACH STATEMENT EXECUTE FUNCTION app.refuse_change();
"""


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "breach",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("noticed_at", TIME, nullable=False),
        sa.Column("scope", postgresql.JSONB(), nullable=False),
        sa.Column("told", postgresql.JSONB(), nullable=False),
        sa.Column("assessment", postgresql.JSONB(), nullable=False),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("closed_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="app",
    )
    op.create_table(
        "breach_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("breach_id", sa.Uuid(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["breach_id"], ["app.breach.id"]),
        schema="app",
    )
    op.create_index("ix_app_breach_event_breach_id", "breach_event", ["breach_id"], schema="app")
    op.execute(APPEND_ONLY)


def downgrade() -> None:
    """Back: what was documented of breaches is lost."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("breach_event", schema="app")
    op.drop_table("breach", schema="app")
