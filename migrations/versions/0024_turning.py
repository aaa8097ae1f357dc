"""A mark in time, for who reads what turns by itself, and the indexes that find it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. What lapsed before was seen by whole refreshes of the segments."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column(
        "progress", sa.Column("moment", postgresql.TIMESTAMP(timezone=True)), schema="app"
    )
    op.execute(
        "INSERT INTO app.progress (reader, moment) VALUES ('turning', clock_timestamp()) "
        "ON CONFLICT (reader) DO NOTHING"
    )
    op.create_index(
        "record_lapses",
        "record",
        ["valid_until"],
        schema="consent",
        postgresql_where=sa.text("state = 'given' AND valid_until IS NOT NULL"),
    )
    op.create_index(
        "record_begins",
        "record",
        ["effective_at"],
        schema="consent",
        postgresql_where=sa.text("state = 'given' AND effective_at > recorded_at"),
    )


def downgrade() -> None:
    """Back."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_index("record_begins", "record", schema="consent")
    op.drop_index("record_lapses", "record", schema="consent")
    op.execute("DELETE FROM app.progress WHERE reader = 'turning'")
    op.drop_column("progress", "moment", schema="app")
