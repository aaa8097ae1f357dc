"""Consent records say in which transaction they came, so that a reader can ask what is new."""

import sqlalchemy as sa
from alembic import op

from consent.tables import TransactionId

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column(
        "record",
        sa.Column(
            "transaction",
            TransactionId(),
            server_default=sa.text("pg_current_xact_id()"),
            nullable=False,
        ),
        schema="consent",
    )
    op.create_index("record_changes", "record", ["transaction"], schema="consent")


def downgrade() -> None:
    """Back."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_index("record_changes", table_name="record", schema="consent")
    op.drop_column("record", "transaction", schema="consent")
