"""Entries that a key was destroyed are found without reading the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. The sealer waits meanwhile: all entries are read once, 10 s for ten million."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_index(
        "ledger_entry_destroyed",
        "ledger_entry",
        ["about"],
        schema="consent",
        postgresql_where=sa.text("""entry LIKE '%"event":"subject_key_destroyed"%'"""),
    )


def downgrade() -> None:
    """Back."""
    op.drop_index("ledger_entry_destroyed", "ledger_entry", schema="consent")
