"""Whether a message left, or may have: not by its attempts and reason, which others have too."""

import sqlalchemy as sa
from alembic import op

revision = "0058"
down_revision = "0057"
branch_labels = None
depends_on = None

#: What was dropped when it was to be sent again has two attempts or more; of a destination that was
#: removed, a reason is with what may have left alone.
NEVER_LEFT = """
UPDATE app.delivery SET sent = false
WHERE attempts = 0 AND reason IS NULL
   OR state = 'dropped' AND attempts < 2
      AND reason IS DISTINCT FROM 'the destination was removed'
"""


def upgrade() -> None:
    """Forward. What is on record may have left, as before, unless nothing says that it did."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    # A default writes no row anew, but for those that are not what it says.
    op.add_column(
        "delivery",
        sa.Column("sent", sa.Boolean(), server_default=sa.true(), nullable=False),
        schema="app",
    )
    op.alter_column("delivery", "sent", server_default=sa.false(), schema="app")
    op.execute(NEVER_LEFT)


def downgrade() -> None:
    """Back: whoever was decided about counts as told, also of what never left."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("delivery", "sent", schema="app")
