"""Erasure: the suppression list, the proof that one took place, and what it may delete."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from consent.tables import TransactionId

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
TIME = postgresql.TIMESTAMP(timezone=True)
#: Records stay append-only, but for a transaction that is on record as an erasure.
TRIGGERS = """
CREATE FUNCTION consent.refuse_but_in_erasure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM consent.erasure WHERE transaction = pg_current_xact_id()) THEN
    RAISE EXCEPTION 'consent.% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$;
DROP TRIGGER record_is_append_only ON consent.record;
CREATE TRIGGER record_is_append_only BEFORE UPDATE ON consent.record
  FOR EACH STATEMENT EXECUTE FUNCTION consent.refuse_change();
CREATE TRIGGER record_goes_in_an_erasure BEFORE DELETE ON consent.record
  FOR EACH STATEMENT EXECUTE FUNCTION consent.refuse_but_in_erasure();
CREATE TRIGGER erasure_is_kept BEFORE DELETE OR TRUNCATE ON consent.erasure
  FOR EACH STATEMENT EXECUTE FUNCTION consent.refuse_change();
"""
BACK = """
DROP TRIGGER erasure_is_kept ON consent.erasure;
DROP TRIGGER record_goes_in_an_erasure ON consent.record;
DROP TRIGGER record_is_append_only ON consent.record;
CREATE TRIGGER record_is_append_only BEFORE UPDATE OR DELETE ON consent.record
  FOR EACH STATEMENT EXECUTE FUNCTION consent.refuse_change();
DROP FUNCTION consent.refuse_but_in_erasure();
"""


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("CREATE SEQUENCE consent.suppression_version")
    op.create_table(
        "suppression",
        sa.Column("ref", postgresql.BYTEA(), nullable=False),
        sa.Column("key_id", postgresql.BYTEA(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("normaliser", sa.BigInteger(), nullable=False),
        sa.Column("reason_ref", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("review_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("ref"),
        schema="consent",
    )
    op.create_table(
        "erasure",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reason_ref", sa.Text(), nullable=False),
        sa.Column("records", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("erased_at", TIME, server_default=NOW, nullable=False),
        sa.Column(
            "transaction",
            TransactionId(),
            server_default=sa.text("pg_current_xact_id()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("transaction"),
        schema="consent",
    )
    op.execute(TRIGGERS)
    # Events that are still in the database, changed, and are to be put into the lake anew.
    op.add_column(
        "lake_removal",
        sa.Column("again", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        schema="app",
    )


def downgrade() -> None:
    """Back: who was suppressed may be stored again."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("lake_removal", "again", schema="app")
    op.execute(BACK)
    op.drop_table("erasure", schema="consent")
    op.drop_table("suppression", schema="consent")
    op.execute("DROP SEQUENCE consent.suppression_version")
