"""The ledger: entries, the tree above them, checkpoints, and what is sealed of persons."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from consent.tables import TransactionId

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
BYTES = postgresql.BYTEA()
TABLES = ("entry", "node", "checkpoint", "key", "sealed", "statement")

#: What was sealed goes with its key, and a statement once it is an entry; nothing ever changes.
TRIGGERS = """
CREATE TRIGGER ledger_{0}_is_append_only BEFORE {1} ON consent.ledger_{0}
  FOR EACH STATEMENT EXECUTE FUNCTION consent.refuse_change();
"""


def upgrade() -> None:
    """Forward. What was recorded before is sealed by the worker, in the order of its commits."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "ledger_entry",
        sa.Column("leaf_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("leaf_hash", BYTES, nullable=False),
        sa.Column("about", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("leaf_index"),
        sa.UniqueConstraint("about"),
        schema="consent",
    )
    op.create_table(
        "ledger_node",
        sa.Column("level", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("node_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("level", "node_index"),
        schema="consent",
    )
    op.create_table(
        "ledger_checkpoint",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", BYTES, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("transaction", TransactionId(), nullable=False),
        sa.Column("record_seq", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("size"),
        schema="consent",
    )
    op.create_table(
        "ledger_key",
        sa.Column("vkey", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("vkey"),
        schema="consent",
    )
    op.create_table(
        "ledger_sealed",
        sa.Column("leaf_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("sealed", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("leaf_index"),
        schema="consent",
    )
    op.create_index("ledger_sealed_key", "ledger_sealed", ["key_id"], schema="consent")
    op.create_table(
        "ledger_statement",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("about", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("public", postgresql.JSONB(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=True),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("about"),
        schema="consent",
    )
    for name in TABLES:
        deletes = name in ("sealed", "statement")
        op.execute(TRIGGERS.format(name, "UPDATE" if deletes else "UPDATE OR DELETE OR TRUNCATE"))


def downgrade() -> None:
    """Back: the ledger is gone, and what it proves with it."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    for name in reversed(TABLES):
        op.drop_table(f"ledger_{name}", schema="consent")
