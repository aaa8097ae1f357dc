"""Questions that were asked of journeys, so that the numbers of their answers can be opened."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "analysis",
        sa.Column("query_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("as_of", TIME, nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("asked_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("query_id"),
        schema="app",
    )
    op.create_index("ix_app_analysis_asked_at", "analysis", ["asked_at"], schema="app")


def downgrade() -> None:
    """Back: what was asked is lost, numbers of earlier answers cannot be opened."""
    op.drop_table("analysis", schema="app")
