"""Where people go next in a journey, and how each person's way differs from its target."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    moment = postgresql.TIMESTAMP(timezone=True)
    op.create_table(
        "journey_flow",
        sa.Column("journey", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("computed_at", moment, nullable=False),
        sa.Column("flow", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("journey"),
        schema="app",
    )
    op.create_table(
        "journey_due",
        sa.Column("journey", sa.Text(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("due_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("journey", "person_id"),
        schema="app",
    )
    op.create_index("ix_app_journey_due_due_at", "journey_due", ["due_at"], schema="app")
    op.create_table(
        "journey_deviation",
        sa.Column("journey", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("touchpoint", sa.Text(), nullable=False),
        sa.Column("to_touchpoint", sa.Text(), nullable=False),
        sa.Column("since", moment, nullable=False),
        sa.Column("raised_at", moment, nullable=False),
        sa.PrimaryKeyConstraint(
            "journey", "subject_id", "kind", "touchpoint", "to_touchpoint", "since"
        ),
        schema="app",
    )
    op.create_index(
        "ix_app_journey_deviation_subject_id", "journey_deviation", ["subject_id"], schema="app"
    )


def downgrade() -> None:
    """Back: nobody is followed through a target any more."""
    op.drop_table("journey_deviation", schema="app")
    op.drop_table("journey_due", schema="app")
    op.drop_table("journey_flow", schema="app")
