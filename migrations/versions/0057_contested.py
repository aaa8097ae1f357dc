"""Addresses that were put right are known of as well when they may be somebody else's."""

import sqlalchemy as sa
from alembic import op

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. Those that are kept already were told to be the person's."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column(
        "former_identifier",
        sa.Column("contested", sa.Boolean(), server_default=sa.false(), nullable=False),
        schema="app",
    )


def downgrade() -> None:
    """Back: what may be somebody else's is known by nothing, and is not taken for the person's."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DELETE FROM app.former_identifier WHERE contested")
    op.drop_column("former_identifier", "contested", schema="app")
