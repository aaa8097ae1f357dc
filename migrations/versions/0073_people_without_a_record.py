"""Who is in and has no record, what records somebody has beside, and whose an address is."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import BYTEA

revision = "0073"
down_revision = "0072"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. Of records from before it is not known whose address is whose, until each is sent.

    Who could be made no record of before, and is in, is sent by the next sync.
    """
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column("held_record", sa.Column("also", sa.Text()), schema="app")
    op.add_column("held_record", sa.Column("key_hash", BYTEA()), schema="app")
    op.add_column(
        "held_record",
        sa.Column("absent", sa.Boolean(), nullable=False, server_default=sa.false()),
        schema="app",
    )
    op.create_index("held_record_key", "held_record", ["destination_id", "key_hash"], schema="app")


def downgrade() -> None:
    """Back: who was never sent is no record; other records of the same person are forgotten."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DELETE FROM app.held_record WHERE absent AND remote IS NULL AND also IS NULL")
    for column in ("absent", "key_hash", "also"):
        op.drop_column("held_record", column, schema="app")
