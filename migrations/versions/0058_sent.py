"""Whether a message left, or may have: not by its attempts and reason, which others have too."""

import sqlalchemy as sa
from alembic import op

revision = "0058"
down_revision = "0057"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. What is on record from before may have left: replays had set its attempts to 0.

    Whoever was not sent it is told of an erasure all the same, as before.
    """
    op.execute("SET LOCAL lock_timeout = '4s'")
    # A default writes no row anew.
    op.add_column(
        "delivery",
        sa.Column("sent", sa.Boolean(), server_default=sa.true(), nullable=False),
        schema="app",
    )
    op.alter_column("delivery", "sent", server_default=sa.false(), schema="app")


def downgrade() -> None:
    """Back: whoever was decided about counts as told, also of what never left."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("delivery", "sent", schema="app")
