"""Where people go next is a row for each place of a journey: all in one took long to read."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0075"
down_revision = "0074"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. The worker counts anew within a minute."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DELETE FROM app.journey_flow")
    op.drop_column("journey_flow", "flow", schema="app")
    op.create_table(
        "journey_next",
        sa.Column("journey", sa.Text(), nullable=False),
        sa.Column("touchpoint", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("following", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("journey", "touchpoint", "before"),
        sa.ForeignKeyConstraint(["journey"], ["app.journey_flow.journey"], ondelete="CASCADE"),
        schema="app",
    )


def downgrade() -> None:
    """Back, likewise."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("journey_next", schema="app")
    op.execute("DELETE FROM app.journey_flow")
    op.add_column("journey_flow", sa.Column("flow", JSONB(), nullable=False), schema="app")
