"""A trait knows the place of its event in its source; replayed events are counted apart."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


OUTCOMES = "'accepted', 'duplicate', 'rejected', 'held', 'released', 'destroyed'"


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column("trait", sa.Column("source_seq", sa.BigInteger()), schema="app")
    op.drop_constraint("tally_outcome", "tally", schema="app")
    op.create_check_constraint(
        "tally_outcome", "tally", f"outcome IN ({OUTCOMES}, 'replayed')", schema="app"
    )


def downgrade() -> None:
    """Back: what was replayed is not counted any more."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DELETE FROM app.tally WHERE outcome = 'replayed'")
    op.drop_constraint("tally_outcome", "tally", schema="app")
    op.create_check_constraint("tally_outcome", "tally", f"outcome IN ({OUTCOMES})", schema="app")
    op.drop_column("trait", "source_seq", schema="app")
