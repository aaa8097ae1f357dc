"""Journeys whose reference is frozen, and journeys that are archived."""

import sqlalchemy as sa
from alembic import op

revision = "0062"
down_revision = "0061"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward: no journey is either."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "journey_standing",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("reference", sa.BigInteger(), nullable=True),
        sa.Column("frozen_by", sa.Text(), nullable=True),
        sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_journey_standing"),
        sa.ForeignKeyConstraint(
            ["key", "reference"],
            ["app.journey.key", "app.journey.version"],
            name="fk_journey_standing_key_journey",
        ),
        schema="app",
    )


def downgrade() -> None:
    """Back: every journey can be changed, and is listed."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("journey_standing", schema="app")
