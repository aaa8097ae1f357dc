"""Several write keys per source, what a source may send, and counters."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEYS = """
INSERT INTO app.write_key (source_id, key_hash, created_at, removed_at)
SELECT id, write_key_hash, created_at, removed_at FROM app.source
"""
#: The way back: a source has one key again, the newest in use. One without gets what no key
#: hashes to.
ONE_KEY = """
UPDATE app.source SET write_key_hash = coalesce(
  (SELECT key_hash FROM app.write_key
   WHERE source_id = source.id AND (expires_at IS NULL OR expires_at > now())
   ORDER BY removed_at DESC NULLS FIRST, created_at DESC, id DESC LIMIT 1),
  sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')))
"""


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    for column in (
        sa.Column(
            "allowed_origins",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("max_event_bytes", sa.BigInteger(), nullable=True),
        sa.Column("max_batch_bytes", sa.BigInteger(), nullable=True),
        sa.Column("max_batch_events", sa.BigInteger(), nullable=True),
        sa.Column("events_per_second", sa.Double(), nullable=True),
        sa.Column("burst", sa.BigInteger(), nullable=True),
        sa.Column("pending_seconds", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    ):
        op.add_column("source", column, schema="app")
    op.create_table(
        "write_key",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("label", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("removed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("last_used_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["app.source.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key_hash"),
        schema="app",
    )
    op.create_index("write_key_source", "write_key", ["source_id"], unique=False, schema="app")
    op.execute(KEYS)
    op.drop_constraint("source_write_key_hash_key", "source", schema="app")
    op.drop_column("source", "write_key_hash", schema="app")
    op.create_table(
        "tally",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("span", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('accepted', 'duplicate', 'rejected', 'held')", name="tally_outcome"
        ),
        sa.PrimaryKeyConstraint("id"),
        schema="app",
    )
    op.create_index("tally_source", "tally", ["source_id", "at"], unique=False, schema="app")
    op.create_index("tally_span", "tally", ["span", "at"], unique=False, schema="app")


def downgrade() -> None:
    """Back: the newest key of each source stays, its other keys and the counters are lost."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("tally", schema="app")
    op.add_column("source", sa.Column("write_key_hash", sa.LargeBinary()), schema="app")
    op.execute(ONE_KEY)
    op.alter_column("source", "write_key_hash", nullable=False, schema="app")
    op.create_unique_constraint(
        "source_write_key_hash_key", "source", ["write_key_hash"], schema="app"
    )
    op.drop_table("write_key", schema="app")
    for column in (
        "pending_seconds",
        "burst",
        "events_per_second",
        "max_batch_events",
        "max_batch_bytes",
        "max_event_bytes",
        "allowed_origins",
    ):
        op.drop_column("source", column, schema="app")
