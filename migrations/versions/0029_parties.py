"""Who answers for the processing, and what is told of a destination."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    now = sa.func.now()
    op.create_table(
        "party",
        sa.Column("role", sa.Text(), primary_key=True),
        sa.Column("declared", postgresql.JSONB(), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=now),
        sa.CheckConstraint("role = 'controller'", name="party_role"),
        schema="consent",
    )
    declared = sa.Column("declared", postgresql.JSONB(), nullable=False, server_default="{}")
    op.add_column("destination", declared, schema="app")


def downgrade() -> None:
    """Back: what was told is lost."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("destination", "declared", schema="app")
    op.drop_table("party", schema="consent")
